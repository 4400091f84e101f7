//! Backup while shoppers buy, restore into an empty place, and the start from that.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::report::{Section, Table};
use crate::shoppers::{Bought, Shoppers};
use crate::statistics::median;
use crate::{Bench, checkout};

/// Shoppers who buy while the stores are copied.
const CLIENTS: usize = 16;

/// What one round measured.
struct Round {
    undisturbed: Bought,
    during: Bought,
    backup_s: f64,
    restore_s: f64,
    start_s: f64,
    bytes: u64,
}

/// Measures backup and restore of a shop with a large catalogue and the orders that are made meanwhile.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let shop = bench.shop("recovery")?;
    shop.copy_catalogue(&stocked.shop)?;
    let (server, _) = shop.start()?;
    let shoppers = Shoppers::new(server.url(""), checkout::skus(stocked))?;
    shoppers.buy(CLIENTS, bench.warm_up)?;
    let backup = bench.folder.path().join("backup");
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let undisturbed = shoppers.buy(CLIENTS, bench.round)?;
        let (during, backup_s) = thread::scope(|scope| {
            let copying = scope.spawn(|| timed(shop.stores_command("backup").arg(&backup)));
            let during = shoppers.buy(CLIENTS, bench.round)?;
            let backup_s = copying.join().ok().context("the backup panicked")??;
            Ok::<_, anyhow::Error>((during, backup_s.as_secs_f64()))
        })
        .with_context(|| server.last_words())?;
        let bytes = size(&backup)?;
        let restored = bench.shop("restored")?;
        let restore_s = timed(restored.stores_command("restore").arg(&backup))?.as_secs_f64();
        let (copy, start) = restored.start()?;
        restored.verify(&copy).context("the restored shop")?;
        copy.stop()?;
        fs::remove_dir_all(restored.folder())?;
        fs::remove_dir_all(&backup)?;
        rounds.push(Round { undisturbed, during, backup_s, restore_s, start_s: start.as_secs_f64(), bytes });
    }
    shop.verify(&server)?;
    server.stop()?;

    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let row = |what: &str, figure: String| vec![what.to_owned(), figure];
    Ok(Section {
        title: "Backup and restore",
        about: format!(
            "`bodega backup` of a running shop with {} products while {CLIENTS} shoppers buy, then `bodega restore` into an \
             empty place, and its first start, which compiles the components. `bodega verify` found nothing in the restored \
             shop, in each of {} rounds, nor in the other one afterwards.",
            stocked.catalogue.products.len(),
            rounds.len()
        ),
        table: Table {
            columns: vec!["", ""],
            rows: vec![
                row("size of the backup, MiB", format!("{:.0}", of(|round| round.bytes as f64) / f64::from(1 << 20))),
                row("backup, s", format!("{:.2}", of(|round| round.backup_s))),
                row("restore, s", format!("{:.2}", of(|round| round.restore_s))),
                row("start to the first answer, s", format!("{:.2}", of(|round| round.start_s))),
                row("checkouts/s without a backup", format!("{:.1}", of(|round| round.undisturbed.per_s))),
                row("checkouts/s beside it", format!("{:.1}", of(|round| round.during.per_s))),
                row(
                    "checkout p99 without a backup, ms",
                    format!("{:.1}", of(|round| round.undisturbed.checkout.p99_ms)),
                ),
                row("checkout p99 beside it, ms", format!("{:.1}", of(|round| round.during.checkout.p99_ms))),
            ],
        },
        details: Vec::new(),
        bars: Vec::new(),
    })
}

/// Runs it to its end, and tells how long that took.
fn timed(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let output = command.output()?;
    let elapsed = begin.elapsed();
    ensure!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(elapsed)
}

/// The bytes of all files below `folder`.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
