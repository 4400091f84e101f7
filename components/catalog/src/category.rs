//! The tree of categories, which is small enough to be held whole.

use std::collections::BTreeMap;

use commerce::Slug;
use serde::{Deserialize, Serialize};
use service::Violation;

/// Most categories of one catalogue.
pub(crate) const CATEGORIES_MAX: usize = 5_000;
/// Deepest nesting of categories.
pub(crate) const DEPTH_MAX: usize = 12;
/// Longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 80;

/// A category as a client writes it. The slug is its key and never changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CategoryInput {
    pub(crate) slug: Option<String>,
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    #[serde(default)]
    pub(crate) position: i32,
}

/// A category as it is kept; the parent of a root is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Category {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) parent: String,
    pub(crate) position: i32,
    pub(crate) version: i64,
    pub(crate) products: u32,
}

/// A category as it is sent, with the number of active products in it and below it.
#[derive(Debug, Serialize)]
pub(crate) struct Node<'a> {
    slug: &'a str,
    name: &'a str,
    position: i32,
    products: u32,
    children: Vec<Node<'a>>,
}

/// All categories by slug.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taxonomy(BTreeMap<String, Category>);

impl Taxonomy {
    pub(crate) fn new(categories: impl IntoIterator<Item = Category>) -> Self {
        Self(categories.into_iter().map(|category| (category.slug.clone(), category)).collect())
    }

    pub(crate) fn get(&self, slug: &str) -> Option<&Category> {
        self.0.get(slug)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, category: Category) {
        self.0.insert(category.slug.clone(), category);
    }

    pub(crate) fn remove(&mut self, slug: &str) {
        self.0.remove(slug);
    }

    /// A category and its ancestors, the root last.
    pub(crate) fn lineage<'a>(&'a self, slug: &str) -> impl Iterator<Item = &'a str> {
        let ancestors = std::iter::successors(self.get(slug), |category| self.get(&category.parent));
        // The bound ends even a cycle, which no write lets in.
        ancestors.take(DEPTH_MAX).map(|category| category.slug.as_str())
    }

    /// The category of this name directly below a parent.
    pub(crate) fn child(&self, parent: &str, name: &str) -> Option<&Category> {
        self.0.values().find(|category| category.parent == parent && category.name == name)
    }

    /// The names from the root to a category, joined by slashes, as import and export write it.
    pub(crate) fn path(&self, slug: &str) -> String {
        let mut names: Vec<&str> = self.lineage(slug).filter_map(|slug| Some(self.get(slug)?.name.as_str())).collect();
        names.reverse();
        names.join("/")
    }

    /// Says which of a product's categories do not exist.
    pub(crate) fn check(&self, categories: &[Slug]) -> Vec<Violation> {
        let unknown = categories.iter().filter(|slug| self.get(slug.as_str()).is_none());
        unknown.map(|slug| Violation::new("categories", format!("there is no category {:?}", slug.as_str()))).collect()
    }

    /// Says what is wrong with giving a category this name and parent.
    pub(crate) fn check_place(&self, slug: &str, name: &str, parent: &str) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let named = !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.contains('/');
        if !named {
            wrong.push(Violation::new("name", format!("1 to {NAME_CHARS_MAX} characters without a slash")));
        }
        if self.child(parent, name).is_some_and(|other| other.slug != slug) {
            wrong.push(Violation::new("name", "the parent has a category of this name"));
        }
        if !parent.is_empty() {
            let above: Vec<&str> = self.lineage(parent).collect();
            if above.is_empty() {
                wrong.push(Violation::new("parent", format!("there is no category {parent:?}")));
            } else if above.contains(&slug) {
                wrong.push(Violation::new("parent", "a category cannot stand below itself"));
            } else if above.len() + self.height(slug) > DEPTH_MAX {
                wrong.push(Violation::new("parent", format!("categories nest at most {DEPTH_MAX} deep")));
            }
        }
        wrong
    }

    /// How many levels a category and those below it take up; one for a new category.
    fn height(&self, slug: &str) -> usize {
        let depths = self.0.keys().filter_map(|below| self.lineage(below).position(|above| above == slug));
        depths.max().unwrap_or(0) + 1
    }

    /// The tree, siblings by position and then name.
    pub(crate) fn tree(&self) -> Vec<Node<'_>> {
        let mut children: BTreeMap<&str, Vec<&Category>> = BTreeMap::new();
        for category in self.0.values() {
            children.entry(&category.parent).or_default().push(category);
        }
        branch("", &mut children)
    }
}

fn branch<'a>(parent: &str, children: &mut BTreeMap<&str, Vec<&'a Category>>) -> Vec<Node<'a>> {
    let mut siblings = children.remove(parent).unwrap_or_default();
    siblings.sort_by(|a, b| (a.position, &a.name).cmp(&(b.position, &b.name)));
    let node = |category: &&'a Category| Node {
        slug: &category.slug,
        name: &category.name,
        position: category.position,
        products: category.products,
        children: branch(&category.slug, children),
    };
    siblings.iter().map(node).collect()
}
