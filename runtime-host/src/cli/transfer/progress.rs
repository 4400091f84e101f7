//! How far a file has been sent, for whoever watches.

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};

/// What the bar shows.
const TEMPLATE: &str = "{bar:40} {bytes}/{total_bytes} {eta}";

/// A bar whose length is yet to be set.
pub(super) fn bar() -> ProgressBar {
    // The template is a constant with the crate's own field names.
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Passes the chunks on and counts their bytes on the bar.
pub(super) fn counted<E>(
    chunks: impl Stream<Item = Result<Bytes, E>>,
    bar: ProgressBar,
) -> impl Stream<Item = Result<Bytes, E>> {
    chunks.inspect_ok(move |chunk| bar.inc(chunk.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use futures::executor::block_on;
    use futures::stream;
    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that remembers the line that was drawn last.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_what_has_passed() {
        let (bar, screen) = (bar(), Screen::default());
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_length(4096);
        let chunks = [512, 1536].map(|bytes| Ok::<_, io::Error>(Bytes::from(vec![0; bytes])));
        let passed: Vec<Bytes> = block_on(counted(stream::iter(chunks), bar.clone()).try_collect()).unwrap();
        assert_eq!(passed.iter().map(Bytes::len).collect::<Vec<_>>(), [512, 1536]);
        // Draws at once, whatever was drawn just now.
        bar.abandon();
        let drawn = screen.0.lock().unwrap().clone();
        assert!(drawn.contains(&format!("{}{} 2.00 KiB/4.00 KiB", "█".repeat(20), "░".repeat(20))), "{drawn}");
    }

    #[test]
    fn what_fails_is_not_counted() {
        let bar = ProgressBar::hidden();
        let chunks = [Ok(Bytes::from_static(b"abc")), Err("unreadable")];
        let passed: Result<Vec<Bytes>, &str> = block_on(counted(stream::iter(chunks), bar.clone()).try_collect());
        assert_eq!((passed, bar.position()), (Err("unreadable"), 3));
    }
}
