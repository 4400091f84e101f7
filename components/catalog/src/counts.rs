//! The counts of units in a product's document: it is stored without them, because they change with every order,
//! and gets them when it is sent.

/// How a count reads where it is left out. JSON escapes the quotation marks within texts, and no other member of
/// this name is a number, so that nothing else reads like it.
const LEFT_OUT: &str = r#""available":0"#;

/// Where the counts of a document go: the position of each zero that stands for one, in bytes. The product's own
/// comes first and its variants' follow in their order.
pub(crate) fn places(document: &str) -> String {
    let zeros = document.match_indices(LEFT_OUT).map(|(start, _)| (start + LEFT_OUT.len() - 1).to_string());
    zeros.collect::<Vec<_>>().join(",")
}

/// The document as it is sent, given the variants' units as a list such as `3,0,12`. `None` if these three do not
/// belong together.
pub(crate) fn fill(document: &str, places: &str, units: &str) -> Option<String> {
    let mut total: u64 = 0;
    for unit in units.split(',') {
        total = total.checked_add(unit.parse().ok()?)?;
    }
    let total = total.to_string();
    let mut counts = std::iter::once(total.as_str()).chain(units.split(','));
    let mut filled = String::with_capacity(document.len() + total.len() + units.len());
    let mut sent = 0;
    for place in places.split(',') {
        let place: usize = place.parse().ok()?;
        filled.push_str(document.get(sent..place)?);
        filled.push_str(counts.next()?);
        sent = place + 1;
    }
    filled.push_str(document.get(sent..)?);
    counts.next().is_none().then_some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use commerce::{Currency, Id, Money, Slug};
    use proptest::prelude::*;

    use crate::product::{Product, ProductInput, VariantInput};

    fn stored(texts: &[String]) -> String {
        let variant = |(number, text): (usize, &String)| VariantInput {
            sku: format!("s-{number}"),
            attributes: [("available".to_owned(), text.clone())].into(),
            price: Money::from_minor(0, Currency::USD).unwrap(),
            weight_g: 0,
            stock: Some(7),
        };
        let input = ProductInput {
            title: texts[0].clone(),
            description: texts.concat(),
            attributes: [("available".to_owned(), texts[0].clone())].into(),
            variants: texts.iter().enumerate().map(variant).collect(),
            ..ProductInput::default()
        };
        let mut product = Product::new(Id::new(), Slug::from_title("any").unwrap(), String::new());
        product.replace(input, Currency::USD, String::new()).unwrap();
        serde_json::to_string(&product.to_document()).unwrap()
    }

    proptest! {
        /// Whatever the texts of a product, its counts get where they belong and nothing else changes.
        #[test]
        fn counts_go_where_they_belong(
            texts in prop::collection::vec("x[\"\\\\a-f:,0é{}]{0,12}|\"available\":0|,\"available\":0,", 1..5),
            units in prop::collection::vec(0..2_000_000_u32, 5),
        ) {
            let document = stored(&texts);
            let units = &units[..texts.len()];
            let list = units.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let filled = fill(&document, &places(&document), &list).unwrap();

            let mut expected: serde_json::Value = serde_json::from_str(&document).unwrap();
            expected["available"] = units.iter().map(|units| u64::from(*units)).sum::<u64>().into();
            for (variant, units) in units.iter().enumerate() {
                expected["variants"][variant]["available"] = (*units).into();
            }
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&filled).unwrap(), expected);
        }
    }

    #[test]
    fn what_does_not_belong_together_is_noticed() {
        let document = stored(&["one".to_owned(), "two".to_owned()]);
        let places = places(&document);
        assert!(fill(&document, &places, "1,2").is_some());
        for units in ["1", "1,2,3", "1,-2", "1,", ""] {
            assert_eq!(fill(&document, &places, units), None, "{units}");
        }
        for places in ["", "9,8,7", "1,2,999999"] {
            assert_eq!(fill(&document, places, "1,2"), None, "{places}");
        }
    }
}
