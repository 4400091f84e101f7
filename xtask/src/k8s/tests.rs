//! Planted mistakes: each changes what the overlay `standalone` renders to, and exactly that is found.

use serde_json::{Value, json};

use crate::application::Application;
use crate::checks::check;
use crate::object::Object;
use crate::render::{has_kubectl, overlay, root};

mod network;
mod references;
mod scaling;
mod security;
mod services;

/// What an overlay renders to, to be changed.
struct Overlay {
    objects: Vec<Object>,
    application: Application,
}

/// A change, and what is to be said about it.
type Mistake<'a> = (&'a dyn Fn(&mut Overlay), &'a [&'a str]);

/// Plants one mistake after the other, each in what is otherwise right.
fn find(mistakes: &[Mistake]) {
    if !has_kubectl() {
        return;
    }
    let objects = overlay(&root().join("k8s/overlays/standalone")).unwrap();
    let mut differences = Vec::new();
    for (number, (plant, expected)) in mistakes.iter().enumerate() {
        let application = Application::read(&root().join("spin.toml")).unwrap();
        let mut planted = Overlay { objects: objects.clone(), application };
        plant(&mut planted);
        let problems = check(planted.objects, &planted.application).0;
        let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
        if found != *expected {
            differences.push(format!("mistake {number}: expected {expected:#?}, found {found:#?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn nothing_is_wrong_with_any_overlay() {
    if !has_kubectl() {
        return;
    }
    let application = Application::read(&root().join("spin.toml")).unwrap();
    for (name, path) in crate::render::overlays().unwrap() {
        let problems = check(overlay(&path).unwrap(), &application).0;
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }
}

impl Overlay {
    /// The resource that kubectl calls so.
    fn object(&mut self, id: &str) -> &mut Value {
        &mut self.objects.iter_mut().find(|object| object.to_string() == id).expect(id).0
    }

    /// The value at a JSON pointer of a resource; its last member need not be there.
    fn at(&mut self, id: &str, pointer: &str) -> &mut Value {
        let object = self.object(id);
        if object.pointer(pointer).is_none() {
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).expect(pointer)[member] = Value::Null;
        }
        object.pointer_mut(pointer).unwrap()
    }

    fn set(&mut self, id: &str, pointer: &str, value: Value) {
        *self.at(id, pointer) = value;
    }

    /// Takes a member out.
    fn unset(&mut self, id: &str, pointer: &str) {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = self.object(id).pointer_mut(parent).expect(pointer);
        assert!(parent.as_object_mut().unwrap().remove(&member.replace("~1", "/")).is_some(), "{pointer}");
    }

    /// Takes a resource out.
    fn remove(&mut self, id: &str) {
        let before = self.objects.len();
        self.objects.retain(|object| object.to_string() != id);
        assert_eq!(self.objects.len(), before - 1, "{id}");
    }

    /// Adds something to a list.
    fn push(&mut self, id: &str, pointer: &str, value: Value) {
        self.at(id, pointer).as_array_mut().expect(pointer).push(value);
    }

    /// Replaces a part of a text.
    fn replace(&mut self, id: &str, pointer: &str, from: &str, to: &str) {
        let text = self.at(id, pointer).as_str().expect(pointer).to_owned();
        assert!(text.contains(from), "{pointer} has no {from}");
        self.set(id, pointer, json!(text.replace(from, to)));
    }

    /// The id of the ConfigMap of variables, whose name has a hash.
    fn variables(&self) -> String {
        let is_it = |id: &String| id.starts_with("ConfigMap/bodega-variables");
        self.objects.iter().map(ToString::to_string).find(is_it).unwrap()
    }
}
