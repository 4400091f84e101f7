//! Decides which route answers a path, with the precedence of Spin's HTTP trigger; pure.
//!
//! Written here because `routefinder`, which Spin uses, scans every route and allocates its captures,
//! and `matchit` refuses overlapping routes that Spin accepts.

mod matched;
mod pattern;

pub use matched::{CHAINED_ROUTE, Match, RequestFacts};
pub use pattern::{InvalidPattern, RoutePattern};

use pattern::Segment;

/// Routes by path. `T` is whatever answers: a component, a static response, ...
///
/// Of the routes that match a path, the one wins that is most exact in the first segment in which they differ:
/// a literal before `:param`, `:param` before the end of the route, the end before `/...`. Hence exact routes
/// come before wildcards and longer prefixes before shorter ones, as Spin documents.
/// Paths are compared as they come, still percent-encoded; slashes at their end do not matter.
#[derive(Debug)]
pub struct Router<T> {
    routes: Vec<(RoutePattern, T)>,
    root: Node,
}

/// Two routes that match the same paths.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route {second:?} matches the same paths as {first:?}")]
pub struct DuplicateRoute {
    /// The one that was added first.
    pub first: String,
    /// Its place in the sequence of routes.
    pub first_index: usize,
    /// The one that was added later.
    pub second: String,
    /// Its place in the sequence of routes.
    pub second_index: usize,
}

/// The routes that share a prefix of segments.
#[derive(Debug, Default)]
struct Node {
    literals: Vec<(Box<str>, Node)>,
    param: Option<Box<Node>>,
    /// The route that ends here.
    exact: Option<usize>,
    /// The route that goes on here with `/...`.
    wildcard: Option<usize>,
}

impl<T> Router<T> {
    /// Builds the router, or names two routes of which one could never be reached.
    pub fn build(routes: impl IntoIterator<Item = (RoutePattern, T)>) -> Result<Self, DuplicateRoute> {
        let routes: Vec<_> = routes.into_iter().collect();
        let mut root = Node::default();
        for (index, (pattern, _)) in routes.iter().enumerate() {
            if let Some(first) = root.insert(pattern, index) {
                return Err(DuplicateRoute {
                    first: routes[first].0.to_string(),
                    first_index: first,
                    second: pattern.to_string(),
                    second_index: index,
                });
            }
        }
        Ok(Self { routes, root })
    }

    /// The route that answers `path`, which is the path of a URL without its query.
    pub fn route<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p, T>> {
        if !path.starts_with('/') {
            return None;
        }
        let (pattern, target) = &self.routes[self.root.find(inner(path))?];
        Some(Match::new(target, pattern, path))
    }
}

impl Node {
    /// Adds a route, or gives the one that is already in its place.
    fn insert(&mut self, pattern: &RoutePattern, index: usize) -> Option<usize> {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(literal) => {
                    let at = node.literals.iter().position(|(known, _)| known == literal).unwrap_or_else(|| {
                        node.literals.push((literal.clone(), Node::default()));
                        node.literals.len() - 1
                    });
                    &mut node.literals[at].1
                }
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        let place = if pattern.has_wildcard() { &mut node.wildcard } else { &mut node.exact };
        place.replace(index)
    }

    /// The best route for the segments of `rest`; `None` stands for a path that has ended.
    fn find(&self, rest: Option<&str>) -> Option<usize> {
        let Some(rest) = rest else {
            return self.exact.or(self.wildcard);
        };
        let (segment, after) = split_segment(rest);
        let literal = self.literals.iter().find(|(literal, _)| **literal == *segment).map(|(_, node)| node);
        literal
            .and_then(|node| node.find(after))
            .or_else(|| self.param.as_ref().and_then(|node| node.find(after)))
            .or(self.wildcard)
    }
}

/// The path without the slashes around it; `None` when nothing is left.
fn inner(path: &str) -> Option<&str> {
    Some(path.trim_matches('/')).filter(|path| !path.is_empty())
}

/// The first segment and what follows its slash.
fn split_segment(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('/') {
        Some((segment, after)) => (segment, Some(after)),
        None => (rest, None),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
