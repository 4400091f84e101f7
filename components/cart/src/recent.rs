//! The last few of something, so that a repeat is recognized and a document does not grow.

use serde::{Deserialize, Serialize};

/// At most `MAX` things, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Recent<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for Recent<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Recent<T, MAX> {
    /// Adds one, in the place of the oldest if there are enough.
    pub(crate) fn push(&mut self, one: T) {
        self.0.push(one);
        let surplus = self.0.len().saturating_sub(MAX);
        self.0.drain(..surplus);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::<u8, 3>::default();
        (1..=5).for_each(|one| recent.push(one));
        assert_eq!(recent.iter().copied().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
