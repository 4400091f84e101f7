//! Members of JSON documents that are taken out of answers, or get another name there.
//!
//! What is taken out may be a secret: an answer that cannot be edited is not passed on. All else is copied as it is written, so
//! that numbers keep every digit and members their order.

mod pointer;

use std::borrow::Cow;

use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use pointer::{Pointer, Token};

use super::{Passage, validators};

/// Why an answer is not passed on.
#[derive(Debug, thiserror::Error)]
pub enum NotEdited {
    /// The service has sent a part of a document.
    #[error("it is a part of a document, for which nobody has asked")]
    Part,
    /// The service has compressed it, although it was not told that it may.
    #[error("it has a `content-encoding`, for which nobody has asked")]
    Encoded,
    /// It says that it is JSON, or does not say what it is, and is no JSON document.
    #[error("it is no JSON document")]
    NoJson(#[source] serde_json::Error),
    /// It is no text.
    #[error("it is not UTF-8")]
    NoText(#[source] std::str::Utf8Error),
}

/// What is changed in the JSON documents that a rule's answers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonEdits {
    root: Node,
    bytes_max: usize,
}

/// What is done with a value, and with those in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    is_removed: bool,
    name: Option<String>,
    inner: Vec<(Token, Node)>,
}

impl JsonEdits {
    /// Edits of documents of up to `bytes_max`. All pointers are for the document as the service writes it.
    pub(super) fn new(remove: &[Pointer], rename: &[(Pointer, String)], bytes_max: usize) -> Self {
        let mut root = Node::default();
        for pointer in remove {
            root.at(pointer).is_removed = true;
        }
        for (pointer, name) in rename {
            root.at(pointer).name = Some(name.clone());
        }
        Self { root, bytes_max }
    }

    /// One line for each change.
    pub(super) fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.root.explain(&mut Vec::new(), &mut lines);
        lines
    }

    /// The largest document that is edited.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether an answer with these headers is to be edited, unless it is empty.
    pub fn is_for(&self, status: StatusCode, headers: &HeaderMap) -> Result<bool, NotEdited> {
        if status.is_informational() || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status) {
            return Ok(false);
        }
        if status == StatusCode::PARTIAL_CONTENT {
            return Err(NotEdited::Part);
        }
        if !is_json(headers) {
            return Ok(false);
        }
        let mut encodings = headers.get_all(CONTENT_ENCODING).into_iter();
        if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(NotEdited::Encoded);
        }
        Ok(true)
    }

    /// The document as it is to be.
    pub fn apply(&self, document: &[u8]) -> Result<String, NotEdited> {
        let document = std::str::from_utf8(document).map_err(NotEdited::NoText)?;
        let value: &RawValue = serde_json::from_str(document).map_err(NotEdited::NoJson)?;
        let mut edited = String::with_capacity(document.len());
        copy(value, &[&self.root], &mut edited).map_err(NotEdited::NoJson)?;
        Ok(edited)
    }

    /// Has the headers no longer speak of the document as it was.
    pub fn adjust(&self, headers: &mut HeaderMap) {
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        validators::remove_digests(headers);
        validators::weaken(headers);
    }
}

impl JsonEdits {
    /// The same for an answer of which nothing is read: one that tells that the document is still the same speaks of it by its tag.
    pub fn adjust_unread(&self, status: StatusCode, headers: &mut HeaderMap) {
        if status == StatusCode::NOT_MODIFIED {
            self.adjust(headers);
        }
    }
}

impl Passage {
    /// What is to be changed in the answer's JSON.
    pub fn json_edits(&self) -> Option<&JsonEdits> {
        self.policies().response_json.as_deref()
    }
}

/// Has the service answer so that it can be edited.
pub(super) fn ask_for_whole(request: &mut HeaderMap) {
    for name in [ACCEPT_ENCODING, RANGE, IF_RANGE] {
        request.remove(name);
    }
}

/// Whether a client may read the content as JSON. What does not say what it is may be anything.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter().peekable();
    let is_unknown = types.peek().is_none();
    let names_json = |text: &str| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.is_empty() || essence.to_ascii_lowercase().contains("json")
    };
    is_unknown || types.any(|value| value.to_str().map_or(true, names_json))
}

impl Node {
    fn at(&mut self, pointer: &Pointer) -> &mut Self {
        pointer.tokens().iter().fold(self, |node, token| {
            let place = node.inner.iter().position(|(own, _)| own == token).unwrap_or_else(|| {
                node.inner.push((token.clone(), Self::default()));
                node.inner.len() - 1
            });
            &mut node.inner[place].1
        })
    }
}

impl Node {
    fn explain(&self, path: &mut Vec<Token>, lines: &mut Vec<String>) {
        let pointer = Pointer::from(path.clone());
        if self.is_removed {
            lines.push(format!("json: {pointer} is removed"));
        }
        lines.extend(self.name.as_ref().map(|name| format!("json: {pointer} is named {name:?}")));
        for (token, node) in &self.inner {
            path.push(token.clone());
            node.explain(path, lines);
            path.pop();
        }
    }
}

/// All that is said of the value that `is_meant`.
fn inside<'n>(nodes: &[&'n Node], is_meant: impl Fn(&Token) -> bool) -> Vec<&'n Node> {
    let inner = nodes.iter().flat_map(|node| &node.inner);
    inner.filter(|(token, _)| is_meant(token)).map(|(_, node)| node).collect()
}

/// Copies a value with the changes in it. It is no deeper in the call than the deepest pointer has tokens.
fn copy(value: &RawValue, nodes: &[&Node], out: &mut String) -> serde_json::Result<()> {
    let text = value.get();
    if nodes.iter().all(|node| node.inner.is_empty()) {
        out.push_str(text);
    } else if text.starts_with('{') {
        copy_members(serde_json::from_str(text)?, nodes, out)?;
    } else if text.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(text)?;
        out.push('[');
        let mut separator = "";
        for (index, element) in elements.into_iter().enumerate() {
            let own = inside(nodes, |token| token.is_index(index));
            if own.iter().any(|node| node.is_removed) {
                continue;
            }
            out.push_str(std::mem::replace(&mut separator, ","));
            copy(element, &own, out)?;
        }
        out.push(']');
    } else {
        out.push_str(text);
    }
    Ok(())
}

fn copy_members(members: Members<'_>, nodes: &[&Node], out: &mut String) -> serde_json::Result<()> {
    let mut left = Vec::with_capacity(members.0.len());
    for (Key(key), value) in members.0 {
        let own = inside(nodes, |token| token.is_member(&key));
        if !own.iter().any(|node| node.is_removed) {
            let name = own.iter().find_map(|node| node.name.as_deref());
            left.push((key, name, value, own));
        }
    }
    // What had the name before gives way, or there would be two of it.
    let given: Vec<&str> = left.iter().filter_map(|(_, name, ..)| *name).collect();
    out.push('{');
    let mut separator = "";
    for (key, name, value, own) in &left {
        if name.is_none() && given.contains(&key.as_ref()) {
            continue;
        }
        out.push_str(std::mem::replace(&mut separator, ","));
        out.push_str(&serde_json::to_string(name.unwrap_or(key))?);
        out.push(':');
        copy(value, own, out)?;
    }
    out.push('}');
    Ok(())
}

/// The members of an object in their order, also those that are there twice.
struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests;
