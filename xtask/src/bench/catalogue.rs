//! A large catalogue from a seed, and what a search of it has to find.
//!
//! The same seed gives the same catalogue everywhere. The truth is found by looking at every product, and is exact
//! because the catalogue is made for it: every product has a name of its own, and all prices differ, so that the order
//! by price has no ties.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

/// The currency of all prices.
pub(crate) const CURRENCY: &str = "EUR";
/// What all prices are multiples of, in minor units.
const PRICE_STEP_MINOR: u64 = 5;
const VARIANTS_MAX: u64 = 3;
const DESCRIPTION_WORDS: usize = 24;

/// Who makes the products.
#[rustfmt::skip] // words in rows
pub(crate) const BRANDS: [&str; 20] = [
    "Aldermoor", "Bexley", "Corvane", "Dunmarrow", "Eastlyn", "Fennick", "Galloway", "Harrowgate",
    "Islay", "Jorvane", "Kestrel", "Lindqvist", "Marlowe", "Norrland", "Orkney", "Penrose",
    "Quillan", "Rosmarin", "Skerry", "Tamsin",
];
/// An attribute of variants.
pub(crate) const COLORS: [&str; 10] =
    ["amber", "black", "crimson", "denim", "emerald", "fuchsia", "graphite", "ivory", "navy", "white"];
const SIZES: [&str; 5] = ["XS", "S", "M", "L", "XL"];
const MATERIALS: [&str; 8] = ["bamboo", "canvas", "felt", "leather", "linen", "oak", "steel", "wool"];
/// Categories with the one above them, and what is sold in them. No two words begin with the same four letters, so
/// that neither stemming nor a search by prefix takes one for another.
pub(crate) const CATEGORIES: [(&str, &str, [&str; 3]); 8] = [
    ("Home", "Bedroom", ["blanket", "duvet", "pillow"]),
    ("Home", "Kitchen", ["kettle", "ladle", "teapot"]),
    ("Home", "Lighting", ["chandelier", "lantern", "sconce"]),
    ("Home", "Office", ["blotter", "organizer", "stapler"]),
    ("Outdoors", "Camping", ["hammock", "tarpaulin", "thermos"]),
    ("Outdoors", "Gardening", ["planter", "trowel", "wheelbarrow"]),
    ("Fashion", "Bags", ["backpack", "satchel", "tote"]),
    ("Fashion", "Clothing", ["jacket", "scarf", "trousers"]),
];
/// The second word of a title.
#[rustfmt::skip] // words in rows
pub(crate) const ADJECTIVES: [&str; 12] = [
    "austere", "braided", "compact", "durable", "elegant", "foldable", "gilded", "handmade",
    "insulated", "quilted", "rugged", "vintage",
];
/// Words that descriptions are made of.
#[rustfmt::skip] // words in rows
pub(crate) const PROSE: [&str; 40] = [
    "advice", "archive", "balcony", "breeze", "cabin", "celebrate", "courtyard", "daily", "evening",
    "exhibit", "family", "festival", "gather", "harbour", "hospitality", "inherit", "journey",
    "kindle", "lasting", "meadow", "morning", "nature", "neighbour", "orchard", "parcel", "picnic",
    "quiet", "recipe", "river", "season", "shelter", "simple", "story", "summer", "terrace",
    "traveller", "unwind", "village", "weekend", "winter",
];

/// Everything that the shop sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Catalogue {
    /// The products, in the order of import.
    pub(crate) products: Vec<Product>,
}

/// A product and what it is sold as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    /// Its title, in which the first word is a name that no other product has.
    pub(crate) title: String,
    /// About twenty words.
    pub(crate) description: String,
    /// Who makes it.
    pub(crate) brand: &'static str,
    /// The names of the category above its own, and of its own.
    pub(crate) categories: [&'static str; 2],
    /// What it is made of, an attribute.
    pub(crate) material: &'static str,
    /// What can be bought: one to three, of different colours.
    pub(crate) variants: Vec<Variant>,
}

/// What can be bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    /// Its number in the whole catalogue, `SKU-` and six digits.
    pub(crate) sku: String,
    /// An attribute.
    pub(crate) color: &'static str,
    /// An attribute.
    pub(crate) size: &'static str,
    /// The price in minor units of [`CURRENCY`]; no other variant has the same.
    pub(crate) price_minor: u64,
    /// Units at hand; of one variant in five, none.
    pub(crate) stock: u64,
}

/// What a shopper looks for; all conditions have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Words of title, brand, description, or attributes.
    pub(crate) words: Vec<String>,
    /// The name of a category: products in it, and in those below it.
    pub(crate) category: Option<&'static str>,
    /// A variant of one of these colours; of any if there are none.
    pub(crate) colors: Vec<&'static str>,
    /// The lowest price within these, in minor units.
    pub(crate) price_minor: Option<RangeInclusive<u64>>,
    /// A variant at hand.
    pub(crate) in_stock: bool,
}

impl Catalogue {
    /// A catalogue of exactly `skus` variants.
    pub(crate) fn generate(seed: u64, skus: usize) -> Self {
        let mut random = Random(seed);
        let names = shuffled(&mut random, NAMES);
        let prices = shuffled(&mut random, skus);
        let mut products = Vec::new();
        let mut sold = 0;
        while sold < skus {
            let variants = (1 + random.below(VARIANTS_MAX) as usize).min(skus - sold);
            let prices = &prices[sold..sold + variants];
            products.push(Product::generate(&mut random, &name(names[products.len()]), sold, prices));
            sold += variants;
        }
        Self { products }
    }

    /// Writes the products for import, one JSON object a line.
    pub(crate) fn write_jsonl(&self, mut to: impl Write) -> io::Result<()> {
        self.products.iter().try_for_each(|product| writeln!(to, "{}", product.to_json()))
    }

    /// The products that a search has to find.
    pub(crate) fn matches(&self, query: &Query) -> Vec<&Product> {
        self.products.iter().filter(|product| query.matches(product)).collect()
    }
}

impl Product {
    fn generate(random: &mut Random, name: &str, sold: usize, prices: &[usize]) -> Self {
        let (above, category, nouns) = random.pick(&CATEGORIES);
        let title = format!("{name} {} {}", random.pick(&ADJECTIVES), random.pick(&nouns));
        let description: Vec<&str> = (0..DESCRIPTION_WORDS).map(|_| random.pick(&PROSE)).collect();
        let first_color = random.below(COLORS.len() as u64) as usize;
        let variant = |(n, price): (usize, &usize)| Variant {
            sku: format!("SKU-{:06}", sold + n),
            color: COLORS[(first_color + n) % COLORS.len()],
            size: random.pick(&SIZES),
            price_minor: (*price as u64 + 1) * PRICE_STEP_MINOR,
            stock: if random.below(5) == 0 { 0 } else { 1 + random.below(500) },
        };
        let variants = prices.iter().enumerate().map(variant).collect();
        let brand = random.pick(&BRANDS);
        let material = random.pick(&MATERIALS);
        Self { title, description: description.join(" "), brand, categories: [above, category], material, variants }
    }

    /// The product as a line of an import.
    fn to_json(&self) -> Value {
        let variant = |variant: &Variant| {
            json!({
                "sku": variant.sku,
                "attributes": { "color": variant.color, "size": variant.size },
                "price": { "amount": variant.price_minor, "currency": CURRENCY },
                "stock": variant.stock,
            })
        };
        json!({
            "title": self.title,
            "description": self.description,
            "brand": self.brand,
            "categories": [self.categories.join("/")],
            "attributes": { "material": self.material },
            "variants": self.variants.iter().map(variant).collect::<Vec<_>>(),
        })
    }

    /// The lowest price of a variant, in minor units.
    pub(crate) fn price_minor(&self) -> u64 {
        self.variants.iter().map(|variant| variant.price_minor).min().unwrap_or_default()
    }

    /// Whether any of its variants is at hand.
    pub(crate) fn is_in_stock(&self) -> bool {
        self.variants.iter().any(|variant| variant.stock > 0)
    }

    fn has_word(&self, word: &str) -> bool {
        let texts = self.title.split(' ').chain(self.description.split(' '));
        let attributes = self.variants.iter().flat_map(|variant| [variant.color, variant.size]);
        let mut words = texts.chain(attributes).chain([self.brand, self.material, self.categories[1]]);
        words.any(|own| own.eq_ignore_ascii_case(word))
    }
}

impl Query {
    fn matches(&self, product: &Product) -> bool {
        self.words.iter().all(|word| product.has_word(word))
            && self.category.is_none_or(|category| product.categories.contains(&category))
            && (self.colors.is_empty() || product.variants.iter().any(|variant| self.colors.contains(&variant.color)))
            && self.price_minor.as_ref().is_none_or(|range| range.contains(&product.price_minor()))
            && (!self.in_stock || product.is_in_stock())
    }
}

/// How many of `products` have each value; a product counts once for each of its values.
pub(crate) fn count<'a, V: IntoIterator<Item = String>>(
    products: &[&'a Product],
    values: impl Fn(&'a Product) -> V,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for product in products {
        for value in values(product).into_iter().collect::<BTreeSet<_>>() {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

/// A generator of pseudo-random numbers whose sequence is fixed by its algorithm (SplitMix64), and so by the seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter for bounds this small.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// The numbers below `count` in random order.
fn shuffled(random: &mut Random, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        numbers.swap(last, random.below(last as u64 + 1) as usize);
    }
    numbers
}

const CONSONANTS: &[u8; 18] = b"bcdfghjklmnprstvwz";
const VOWELS: &[u8; 5] = b"aeiou";
/// A stemmer takes no ending away that ends like this.
const LAST_VOWELS: &[u8; 3] = b"aou";
const SYLLABLES: usize = CONSONANTS.len() * VOWELS.len();
/// The names that there are.
const NAMES: usize = SYLLABLES * SYLLABLES * CONSONANTS.len() * LAST_VOWELS.len();

/// The name with this number below [`NAMES`]: three syllables, all of the same length.
fn name(number: usize) -> String {
    let syllable = |number: usize, vowels: &[u8]| {
        [CONSONANTS[number / vowels.len()], vowels[number % vowels.len()]].map(char::from)
    };
    let last = CONSONANTS.len() * LAST_VOWELS.len();
    let (rest, last) = (number / last, syllable(number % last, LAST_VOWELS));
    let (first, middle) = (syllable(rest / SYLLABLES, VOWELS), syllable(rest % SYLLABLES, VOWELS));
    let mut name: String = first.iter().chain(&middle).chain(&last).collect();
    name[..1].make_ascii_uppercase();
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn words() -> impl Iterator<Item = &'static str> {
        let nouns = CATEGORIES.iter().flat_map(|(_, _, nouns)| nouns);
        nouns.chain(&ADJECTIVES).chain(&PROSE).chain(&MATERIALS).copied()
    }

    #[test]
    fn the_same_seed_gives_the_same_catalogue() {
        let catalogue = Catalogue::generate(7, 500);
        assert_eq!(catalogue, Catalogue::generate(7, 500));
        assert_ne!(catalogue, Catalogue::generate(8, 500));
        // A changed algorithm would make reports incomparable.
        assert_eq!(Random(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn skus_prices_and_names_are_as_many_as_asked_for_and_differ() {
        let catalogue = Catalogue::generate(1, 10_000);
        let variants = || catalogue.products.iter().flat_map(|product| &product.variants);
        assert_eq!(variants().count(), 10_000);
        assert_eq!(variants().map(|variant| &variant.sku).collect::<HashSet<_>>().len(), 10_000);
        assert_eq!(variants().map(|variant| variant.price_minor).collect::<HashSet<_>>().len(), 10_000);
        let names = catalogue.products.iter().filter_map(|product| product.title.split(' ').next());
        assert_eq!(names.collect::<HashSet<_>>().len(), catalogue.products.len());
        assert!(catalogue.products.iter().all(|product| (1..=3).contains(&product.variants.len())));
    }

    #[test]
    fn no_word_is_taken_for_another() {
        let mut beginnings = BTreeSet::new();
        // The shortest word has three letters.
        assert_eq!(words().find(|word| !beginnings.insert(&word[..word.len().min(4)])), None, "it begins as another");
        assert_eq!([name(0), name(NAMES - 1)], ["Bababa", "Zuzuzu"]);
        let is_name = |word: &str| {
            let has =
                |at: usize, letters: &[u8]| word.as_bytes().get(at).is_some_and(|letter| letters.contains(letter));
            [0, 2, 4].iter().all(|at| has(*at, CONSONANTS))
                && [1, 3].iter().all(|at| has(*at, VOWELS))
                && has(5, LAST_VOWELS)
        };
        assert!(is_name("bababa"));
        assert_eq!(words().find(|word| is_name(word)), None, "a word begins with a name");
    }

    #[test]
    fn a_search_finds_the_products_for_which_all_conditions_hold() {
        let catalogue = Catalogue::generate(3, 3_000);
        let query = Query {
            words: vec!["picnic".into()],
            category: Some("Outdoors"),
            colors: vec!["navy", "white"],
            price_minor: Some(1_000..=12_000),
            in_stock: true,
        };
        let found = catalogue.matches(&query);
        assert!(!found.is_empty() && found.len() < catalogue.products.len() / 20, "{}", found.len());
        for product in &found {
            assert!(product.description.split(' ').any(|word| word == "picnic"));
            assert_eq!(product.categories[0], "Outdoors");
        }
        for widened in [
            Query { words: vec![], ..query.clone() },
            Query { category: None, ..query.clone() },
            Query { colors: vec![], ..query.clone() },
            Query { price_minor: None, ..query.clone() },
            Query { in_stock: false, ..query.clone() },
        ] {
            let more = catalogue.matches(&widened);
            assert!(more.len() > found.len() && found.iter().all(|product| more.contains(product)), "{widened:?}");
        }
        assert_eq!(catalogue.matches(&Query::default()).len(), catalogue.products.len());
    }

    #[test]
    fn a_product_counts_once_for_each_of_its_values() {
        let variant = |color| Variant { sku: String::new(), color, size: "M", price_minor: 1, stock: 0 };
        let product = |colors: &[&'static str]| Product {
            title: String::new(),
            description: String::new(),
            brand: "Orkney",
            categories: ["Fashion", "Bags"],
            material: "wool",
            variants: colors.iter().map(|color| variant(color)).collect(),
        };
        let (both, one) = (product(&["navy", "white"]), product(&["navy", "navy"]));
        let colors = count(&[&both, &one], |product| product.variants.iter().map(|v| v.color.to_owned()));
        assert_eq!(colors, BTreeMap::from([("navy".to_owned(), 2), ("white".to_owned(), 1)]));
        let brands = count(&[&both, &one], |product| [product.brand.to_owned()]);
        assert_eq!(brands, BTreeMap::from([("Orkney".to_owned(), 2)]));
    }

    #[test]
    fn an_import_has_one_line_a_product() {
        let catalogue = Catalogue::generate(5, 40);
        let mut lines = Vec::new();
        catalogue.write_jsonl(&mut lines).unwrap();
        let lines: Vec<Value> =
            String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), catalogue.products.len());
        let skus = |line: &Value| {
            line["variants"].as_array().unwrap().iter().map(|v| v["sku"].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(lines.iter().flat_map(skus).count(), 40);
        assert_eq!(lines[0]["title"], catalogue.products[0].title);
    }
}
