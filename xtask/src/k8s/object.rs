//! Resources of Kubernetes, read as JSON.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// One resource.
#[derive(Clone, Debug)]
pub(crate) struct Object(pub(crate) Value);

/// Labels of a resource or a pod.
pub(crate) type Labels = BTreeMap<String, String>;

/// Named as kubectl does: `Deployment/catalog`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

impl Object {
    pub(crate) fn kind(&self) -> &str {
        text(&self.0, "/kind")
    }

    pub(crate) fn name(&self) -> &str {
        text(&self.0, "/metadata/name")
    }

    /// The API group: `apps` of `apps/v1`, and nothing of `v1`.
    pub(crate) fn group(&self) -> &str {
        text(&self.0, "/apiVersion").split_once('/').map_or("", |(group, _)| group)
    }

    pub(crate) fn at(&self, pointer: &str) -> &Value {
        at(&self.0, pointer)
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.0, pointer)
    }

    pub(crate) fn items(&self, pointer: &str) -> &[Value] {
        items(&self.0, pointer)
    }
}

/// All resources of a YAML text.
pub(crate) fn parse(yaml: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("not YAML")?;
    Ok(documents.into_iter().map(Object).collect())
}

/// The value at a JSON pointer; null if there is none.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_default()
}

/// The list at a JSON pointer; empty if there is none.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The object of texts at a JSON pointer.
pub(crate) fn labels(value: &Value, pointer: &str) -> Labels {
    let pairs = at(value, pointer).as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The names of the members at a JSON pointer.
pub(crate) fn keys<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    at(value, pointer).as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

/// Whether a label selector matches. One without terms matches everything.
pub(crate) fn selects(selector: &Value, labels: &Labels) -> bool {
    let wanted = self::labels(selector, "/matchLabels");
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        && items(selector, "/matchExpressions").iter().all(|term| {
            let found = labels.get(text(term, "/key"));
            let is_listed = found.is_some_and(|found| items(term, "/values").iter().any(|value| value == found));
            match text(term, "/operator") {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let labels = Labels::from([("app".into(), "cart".into()), ("tier".into(), "service".into())]);
        let cases = [
            (json!({}), true),
            (json!({"matchLabels": {"app": "cart"}}), true),
            (json!({"matchLabels": {"app": "cart", "zone": "a"}}), false),
            (json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["edge", "service"]}]}), true),
            (json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["service"]}]}), false),
            (json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}), true),
            (json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}), false),
            (json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}), true),
        ];
        for (selector, expected) in cases {
            assert_eq!(selects(&selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn documents_are_read_one_by_one() {
        let objects = parse("kind: A\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: B\n").unwrap();
        assert_eq!(objects.len(), 2);
        assert_eq!((objects[0].to_string().as_str(), objects[0].group()), ("A/x", ""));
        assert_eq!(objects[1].group(), "apps");
    }
}
