//! What one record says about a product, in our terms, whatever its columns are called.
//!
//! A record is nested (as an export writes it) or flat, with the columns `sku`, `price`, `weight_g`, `stock`, `attr.<name>`
//! for the product and `variant.<name>` for its variant. A price that is an object is in minor units; a bare
//! number or text is a decimal of the shop's currency.

use std::collections::BTreeMap;

use commerce::{Currency, Id, Money};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::product::Attributes;

/// Columns that one mapping may rename.
const MAPPED_MAX: usize = 64;

/// Foreign column names and what they are here, as `Name:title,Price:price`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping(BTreeMap<String, String>);

impl Mapping {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut columns = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (theirs, ours) = pair.split_once(':').ok_or_else(|| format!("{pair:?} is not theirs:ours"))?;
            let ours = ours.trim();
            if !is_field(ours) {
                return Err(format!("there is no field {ours:?}"));
            }
            columns.insert(theirs.trim().to_owned(), ours.to_owned());
        }
        match columns.len() <= MAPPED_MAX {
            true => Ok(Self(columns)),
            false => Err(format!("at most {MAPPED_MAX} columns")),
        }
    }
}

const FIELDS: &[&str] = &[
    "id",
    "slug",
    "title",
    "brand",
    "description",
    "category",
    "categories",
    "attributes",
    "image",
    "images",
    "tax_class",
    "archived",
    "variants",
    "sku",
    "price",
    "weight_g",
    "stock",
];
const ATTRIBUTE: &str = "attr.";
const VARIANT_ATTRIBUTE: &str = "variant.";

fn is_field(name: &str) -> bool {
    FIELDS.contains(&name) || name.starts_with(ATTRIBUTE) || name.starts_with(VARIANT_ATTRIBUTE)
}

/// What a record says; what it does not mention stays as it is.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: Option<Id>,
    pub(crate) slug: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) brand: Option<String>,
    pub(crate) description: Option<String>,
    /// Paths of names, such as `Outdoor/Footwear`.
    pub(crate) categories: Option<Vec<String>>,
    pub(crate) attributes: Attributes,
    pub(crate) images: Option<Vec<String>>,
    pub(crate) tax_class: Option<String>,
    pub(crate) archived: Option<bool>,
    pub(crate) variants: Vec<VariantDraft>,
}

/// What a record says about a variant.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct VariantDraft {
    pub(crate) sku: String,
    pub(crate) attributes: Attributes,
    pub(crate) price: Option<Money>,
    pub(crate) weight_g: Option<u32>,
    pub(crate) stock: Option<u32>,
}

impl Draft {
    /// Reads a record; fields that mean nothing here go to `ignore`.
    pub(crate) fn read(
        fields: Map<String, Value>,
        mapping: &Mapping,
        currency: Currency,
        mut ignore: impl FnMut(String),
    ) -> Result<Self, String> {
        let mut draft = Self::default();
        let mut flat = VariantDraft::default();
        for (theirs, value) in fields {
            let name = mapping.0.get(&theirs).map_or(theirs.as_str(), String::as_str);
            if value.is_null() {
                continue;
            }
            let within = |reason: String| format!("{theirs}: {reason}");
            match name {
                "id" => {
                    draft.id =
                        Some(text(value).and_then(|id| id.parse().map_err(|_| "not a UUID".into())).map_err(within)?)
                }
                "slug" => draft.slug = Some(text(value).map_err(within)?),
                "title" => draft.title = Some(text(value).map_err(within)?),
                "brand" => draft.brand = Some(text(value).map_err(within)?),
                "description" => draft.description = Some(text(value).map_err(within)?),
                "category" | "categories" => draft.categories = Some(list(value).map_err(within)?),
                "image" | "images" => draft.images = Some(list(value).map_err(within)?),
                "tax_class" => draft.tax_class = Some(text(value).map_err(within)?),
                "archived" => draft.archived = Some(flag(&value).map_err(within)?),
                "attributes" => draft.attributes.extend(attributes(value).map_err(within)?),
                "variants" => draft.variants = variants(value, currency).map_err(within)?,
                "sku" => flat.sku = text(value).map_err(within)?,
                "price" => flat.price = Some(price(&value, currency).map_err(within)?),
                "weight_g" => flat.weight_g = Some(count(&value).map_err(within)?),
                "stock" => flat.stock = Some(count(&value).map_err(within)?),
                _ => match (name.strip_prefix(ATTRIBUTE), name.strip_prefix(VARIANT_ATTRIBUTE)) {
                    (Some(name), _) => drop(draft.attributes.insert(name.to_owned(), text(value).map_err(within)?)),
                    (_, Some(name)) => drop(flat.attributes.insert(name.to_owned(), text(value).map_err(within)?)),
                    _ => ignore(theirs),
                },
            }
        }
        match (flat.sku.is_empty(), flat == VariantDraft::default()) {
            (false, _) => draft.variants.push(flat),
            (true, true) => {}
            (true, false) => return Err("a price, a weight, a stock or a variant's attribute needs a sku".to_owned()),
        }
        Ok(draft)
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err("not a text".to_owned()),
    }
}

/// A list, or a text whose parts are separated by `|`.
fn list(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        value => {
            let joined = text(value)?;
            Ok(joined.split('|').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
        }
    }
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err("not true or false".to_owned()),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| "not a count".to_owned())
}

fn price(value: &Value, currency: Currency) -> Result<Money, String> {
    match value {
        Value::Object(_) => Money::deserialize(value).map_err(|error| error.to_string()),
        // A JSON number prints as the shortest text that reads back as the same number, which is what was written.
        Value::Number(number) => Money::from_decimal(&number.to_string(), currency).map_err(|error| error.to_string()),
        Value::String(text) => Money::from_decimal(text, currency).map_err(|error| error.to_string()),
        _ => Err("not a price".to_owned()),
    }
}

fn attributes(value: Value) -> Result<Attributes, String> {
    let Value::Object(attributes) = value else { return Err("not an object".to_owned()) };
    attributes.into_iter().map(|(name, value)| Ok((name, text(value)?))).collect()
}

fn variants(value: Value, currency: Currency) -> Result<Vec<VariantDraft>, String> {
    let Value::Array(variants) = value else { return Err("not a list".to_owned()) };
    let variant = |value| {
        let Value::Object(fields) = value else { return Err("not a list of objects".to_owned()) };
        let mut variant = VariantDraft::default();
        for (name, value) in fields {
            match name.as_str() {
                "sku" => variant.sku = text(value)?,
                "attributes" => variant.attributes = attributes(value)?,
                "price" => variant.price = Some(price(&value, currency)?),
                "weight_g" => variant.weight_g = Some(count(&value)?),
                "stock" => variant.stock = Some(count(&value)?),
                _ => return Err(format!("a variant has no field {name:?}")),
            }
        }
        Ok(variant)
    };
    variants.into_iter().map(variant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(record: Value, mapping: &str) -> Result<Draft, String> {
        let Value::Object(fields) = record else { panic!("a record is an object") };
        Draft::read(fields, &Mapping::parse(mapping).unwrap(), Currency::USD, |_| {})
    }

    #[test]
    fn foreign_columns_become_ours() {
        let record =
            json!({"Id": 7, "Name": "Boots", "Type": "Outdoor/Footwear|Sale", "Price": 109.99, "Shade": "red"});
        let draft = read(record, "Id:sku, Name:title,Type:category,Price:price,Shade:variant.color").unwrap();
        assert_eq!(draft.title.as_deref(), Some("Boots"));
        assert_eq!(draft.categories.unwrap(), ["Outdoor/Footwear", "Sale"]);
        let variant = &draft.variants[0];
        assert_eq!((variant.sku.as_str(), variant.price.unwrap().minor()), ("7", 10999));
        assert_eq!(variant.attributes["color"], "red");
    }

    #[test]
    fn prices_are_exact_or_refused() {
        let price = |price: Value| {
            read(json!({"sku": "a", "price": price}), "").map(|draft| draft.variants[0].price.unwrap().minor())
        };
        assert_eq!(price(json!(0.1)), Ok(10));
        assert_eq!(price(json!(1234567.89)), Ok(123_456_789));
        assert_eq!(price(json!("5")), Ok(500));
        assert_eq!(price(json!({"amount": 5, "currency": "USD"})), Ok(5));
        for bad in [json!(0.001), json!("5 USD"), json!(true), json!({"amount": 5}), json!(1e300)] {
            assert!(price(bad.clone()).unwrap_err().starts_with("price: "), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        for (record, start) in [
            (json!({"id": "7"}), "id: not a UUID"),
            (json!({"title": ["a"]}), "title: not a text"),
            (json!({"archived": "maybe"}), "archived: "),
            (json!({"sku": "a", "stock": -1}), "stock: not a count"),
            (json!({"price": 5}), "a price, a weight"),
            (json!({"variants": [{"size": "M"}]}), "variants: a variant has no field"),
        ] {
            assert!(read(record.clone(), "").unwrap_err().starts_with(start), "{record}");
        }
        assert!(Mapping::parse("Name").is_err());
        assert!(Mapping::parse("Name:tittle").is_err());
    }
}
