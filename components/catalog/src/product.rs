//! A product with its variants: what is accepted, what is kept, and the public document.

use std::collections::{BTreeMap, BTreeSet};

use commerce::{Currency, Id, Money, QUANTITY_MAX, Sku, Slug};
use serde::{Deserialize, Serialize};
use service::Violation;

/// Longest title, in characters.
pub(crate) const TITLE_CHARS_MAX: usize = 200;
/// Longest brand name, in characters.
pub(crate) const BRAND_CHARS_MAX: usize = 100;
/// Longest description, in characters.
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 20_000;
/// Most categories, images, attributes and variants of one product.
pub(crate) const CATEGORIES_MAX: usize = 16;
pub(crate) const IMAGES_MAX: usize = 16;
pub(crate) const ATTRIBUTES_MAX: usize = 32;
pub(crate) const VARIANTS_MAX: usize = 100;
/// Longest attribute name and value, in characters.
pub(crate) const ATTRIBUTE_NAME_CHARS_MAX: usize = 40;
pub(crate) const ATTRIBUTE_VALUE_CHARS_MAX: usize = 100;
/// The tax class of products for which no other is named.
pub(crate) const TAX_CLASS_DEFAULT: &str = "standard";
/// Longest name of a tax class, in bytes.
pub(crate) const TAX_CLASS_BYTES_MAX: usize = 40;
/// Heaviest variant, in grams.
pub(crate) const WEIGHT_G_MAX: u32 = 10_000_000;
/// Longest address of an image, in bytes.
pub(crate) const IMAGE_BYTES_MAX: usize = 500;

/// Names and values such as `color` = `red`.
pub(crate) type Attributes = BTreeMap<String, String>;

/// A product as a client or an import file writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProductInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slug: Option<String>,
    pub(crate) title: String,
    pub(crate) brand: Option<String>,
    pub(crate) description: String,
    pub(crate) categories: Vec<String>,
    pub(crate) attributes: Attributes,
    pub(crate) images: Vec<String>,
    /// Left out, the product is taxed as most are.
    pub(crate) tax_class: Option<String>,
    pub(crate) variants: Vec<VariantInput>,
    pub(crate) archived: bool,
}

/// A variant as a client or an import file writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantInput {
    pub(crate) sku: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    pub(crate) price: Money,
    /// What shipping weighs; 0 for what is not shipped or not known.
    #[serde(default)]
    pub(crate) weight_g: u32,
    /// Counted stock; left out, it stays as it is (none for a new variant).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stock: Option<u32>,
}

/// A product as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Product {
    pub(crate) id: Id,
    pub(crate) slug: Slug,
    pub(crate) title: String,
    pub(crate) brand: Option<String>,
    pub(crate) description: String,
    pub(crate) categories: Vec<Slug>,
    pub(crate) attributes: Attributes,
    pub(crate) images: Vec<String>,
    pub(crate) tax_class: String,
    pub(crate) variants: Vec<Variant>,
    pub(crate) archived: bool,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

/// A sellable variant as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    pub(crate) sku: Sku,
    pub(crate) attributes: Attributes,
    pub(crate) price: Money,
    pub(crate) weight_g: u32,
    pub(crate) stock: Stock,
}

/// Units of one variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Stock {
    pub(crate) on_hand: u32,
    pub(crate) reserved: u32,
}

impl Stock {
    pub(crate) fn available(self) -> u32 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

impl Product {
    /// A product that has yet to be given its content.
    pub(crate) fn new(id: Id, slug: Slug, now: String) -> Self {
        Self {
            id,
            slug,
            title: String::new(),
            brand: None,
            description: String::new(),
            categories: Vec::new(),
            attributes: Attributes::new(),
            images: Vec::new(),
            tax_class: TAX_CLASS_DEFAULT.to_owned(),
            variants: Vec::new(),
            archived: false,
            created_at: now.clone(),
            updated_at: now,
        }
    }

    /// Replaces the content. All that is wrong is reported at once, and then nothing has changed.
    pub(crate) fn replace(
        &mut self,
        input: ProductInput,
        currency: Currency,
        now: String,
    ) -> Result<(), Vec<Violation>> {
        let mut wrong = check(&input, currency);
        let slug = input.slug.clone().map(Slug::try_from).transpose();
        let slug = slug.unwrap_or_else(|error| {
            wrong.push(Violation::new("slug", error));
            None
        });
        let categories = input.categories.iter().filter_map(|text| match Slug::try_from(text.clone()) {
            Ok(slug) => Some(slug),
            Err(error) => {
                wrong.push(Violation::new("categories", error));
                None
            }
        });
        let categories: Vec<Slug> = categories.collect::<BTreeSet<_>>().into_iter().collect();
        let mut variants = Vec::with_capacity(input.variants.len());
        for (index, variant) in input.variants.into_iter().enumerate() {
            match self.replace_variant(variant) {
                Ok(variant) => variants.push(variant),
                Err(violation) => wrong.push(violation.within(&format!("variants[{index}]"))),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.slug = slug.unwrap_or_else(|| self.slug.clone());
        self.title = input.title.trim().to_owned();
        self.brand = input.brand.map(|brand| brand.trim().to_owned()).filter(|brand| !brand.is_empty());
        self.description = input.description;
        self.categories = categories;
        self.attributes = input.attributes;
        self.images = input.images;
        self.tax_class = input.tax_class.unwrap_or_else(|| TAX_CLASS_DEFAULT.to_owned());
        self.variants = variants;
        self.archived = input.archived;
        self.updated_at = now;
        Ok(())
    }

    fn replace_variant(&self, input: VariantInput) -> Result<Variant, Violation> {
        let sku = Sku::try_from(input.sku).map_err(|error| Violation::new("sku", error))?;
        let known = self.variants.iter().find(|variant| variant.sku == sku);
        let mut stock = known.map(|variant| variant.stock).unwrap_or_default();
        if let Some(counted) = input.stock {
            if counted > QUANTITY_MAX {
                return Err(Violation::new("stock", format!("at most {QUANTITY_MAX}")));
            }
            if counted < stock.reserved {
                return Err(Violation::new("stock", format!("{} units are reserved by open orders", stock.reserved)));
            }
            stock.on_hand = counted;
        }
        Ok(Variant { sku, attributes: input.attributes, price: input.price, weight_g: input.weight_g, stock })
    }

    /// The content as a client would write it: the counted stock is left out, so that writing it back moves none.
    pub(crate) fn to_input(&self) -> ProductInput {
        let variants = self.variants.iter().map(|variant| VariantInput {
            sku: variant.sku.as_str().to_owned(),
            attributes: variant.attributes.clone(),
            price: variant.price,
            weight_g: variant.weight_g,
            stock: None,
        });
        ProductInput {
            slug: Some(self.slug.to_string()),
            title: self.title.clone(),
            brand: self.brand.clone(),
            description: self.description.clone(),
            categories: self.categories.iter().map(Slug::to_string).collect(),
            attributes: self.attributes.clone(),
            images: self.images.clone(),
            tax_class: Some(self.tax_class.clone()),
            variants: variants.collect(),
            archived: self.archived,
        }
    }

    /// The lowest price of the variants, which lists sort and filter by.
    pub(crate) fn price(&self) -> Option<Money> {
        self.variants.iter().map(|variant| variant.price).min_by_key(|price| price.minor())
    }

    /// Whether a unit of any variant can be sold.
    pub(crate) fn in_stock(&self) -> bool {
        self.variants.iter().any(|variant| variant.stock.available() > 0)
    }

    /// Words that find the product besides its texts: attribute values, SKUs, categories.
    pub(crate) fn keywords(&self) -> String {
        let values = self.all_attributes().map(|(_, value)| value);
        let skus = self.variants.iter().map(|variant| variant.sku.as_str());
        let categories = self.categories.iter().map(Slug::as_str);
        values.chain(skus).chain(categories).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    }

    /// The attributes of the product and of all its variants.
    pub(crate) fn all_attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let variants = self.variants.iter().map(|variant| &variant.attributes);
        std::iter::once(&self.attributes).chain(variants).flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The public document, with no count of units filled in; see [`crate::counts`].
    pub(crate) fn to_document(&self) -> Document {
        let variants = self.variants.iter().map(|variant| DocumentVariant {
            sku: variant.sku.clone(),
            attributes: variant.attributes.clone(),
            price: variant.price,
            weight_g: variant.weight_g,
            available: 0,
        });
        Document {
            id: self.id,
            slug: self.slug.clone(),
            title: self.title.clone(),
            brand: self.brand.clone(),
            description: self.description.clone(),
            categories: self.categories.clone(),
            attributes: self.attributes.clone(),
            images: self.images.clone(),
            tax_class: self.tax_class.clone(),
            price: self.price(),
            available: 0,
            variants: variants.collect(),
            archived: self.archived,
            created_at: self.created_at.clone(),
            updated_at: self.updated_at.clone(),
        }
    }
}

/// The JSON that `GET /api/products/{id}` answers with. It is stored without its counts of units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    id: Id,
    slug: Slug,
    title: String,
    brand: Option<String>,
    description: String,
    categories: Vec<Slug>,
    attributes: Attributes,
    images: Vec<String>,
    tax_class: String,
    price: Option<Money>,
    available: u32,
    variants: Vec<DocumentVariant>,
    archived: bool,
    created_at: String,
    updated_at: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentVariant {
    sku: Sku,
    attributes: Attributes,
    price: Money,
    weight_g: u32,
    available: u32,
}

impl Document {
    /// The product again, given the stock that the document is stored without.
    pub(crate) fn into_product(self, stock: &BTreeMap<String, Stock>) -> Product {
        let variants = self.variants.into_iter().map(|variant| Variant {
            stock: stock.get(variant.sku.as_str()).copied().unwrap_or_default(),
            sku: variant.sku,
            attributes: variant.attributes,
            price: variant.price,
            weight_g: variant.weight_g,
        });
        Product {
            id: self.id,
            slug: self.slug,
            title: self.title,
            brand: self.brand,
            description: self.description,
            categories: self.categories,
            attributes: self.attributes,
            images: self.images,
            tax_class: self.tax_class,
            variants: variants.collect(),
            archived: self.archived,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Everything about an input that can be judged without knowing the product it is for.
fn check(input: &ProductInput, currency: Currency) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut require = |field: &str, holds: bool, rule: String| {
        if !holds {
            wrong.push(Violation::new(field, rule));
        }
    };
    let chars = |text: &str, max| text.chars().count() <= max;
    let title = input.title.trim();
    require("title", !title.is_empty() && chars(title, TITLE_CHARS_MAX), format!("1 to {TITLE_CHARS_MAX} characters"));
    let brand = input.brand.as_deref().unwrap_or_default();
    require("brand", chars(brand, BRAND_CHARS_MAX), format!("at most {BRAND_CHARS_MAX} characters"));
    let description_fits = chars(&input.description, DESCRIPTION_CHARS_MAX);
    require("description", description_fits, format!("at most {DESCRIPTION_CHARS_MAX} characters"));
    require("categories", input.categories.len() <= CATEGORIES_MAX, format!("at most {CATEGORIES_MAX}"));
    require("images", input.images.len() <= IMAGES_MAX, format!("at most {IMAGES_MAX}"));
    for image in &input.images {
        let address = ["https://", "http://", "/"].iter().any(|start| image.starts_with(start));
        let fits = address && image.len() <= IMAGE_BYTES_MAX && !image.contains(char::is_whitespace);
        require("images", fits, format!("an http(s) address or a path, at most {IMAGE_BYTES_MAX} bytes"));
    }
    let tax_class = input.tax_class.as_deref().unwrap_or(TAX_CLASS_DEFAULT);
    let fits = is_name(tax_class, TAX_CLASS_BYTES_MAX);
    require("tax_class", fits, format!("1 to {TAX_CLASS_BYTES_MAX} of a-z, A-Z, 0-9, _ and -"));
    let count = input.variants.len();
    require("variants", (1..=VARIANTS_MAX).contains(&count), format!("1 to {VARIANTS_MAX} variants"));
    check_attributes("attributes", &input.attributes, &mut require);
    let mut skus = BTreeSet::new();
    for (index, variant) in input.variants.iter().enumerate() {
        let field = |name: &str| format!("variants[{index}].{name}");
        require(&field("sku"), skus.insert(&variant.sku), format!("{:?} is there twice", variant.sku));
        require(&field("price"), variant.price.minor() >= 0, "a price is not negative".to_owned());
        let same = variant.price.currency() == currency;
        require(&field("price"), same, format!("this catalogue sells in {}", currency.code()));
        require(&field("weight_g"), variant.weight_g <= WEIGHT_G_MAX, format!("at most {WEIGHT_G_MAX}"));
        check_attributes(&field("attributes"), &variant.attributes, &mut require);
    }
    wrong
}

fn check_attributes(field: &str, attributes: &Attributes, require: &mut impl FnMut(&str, bool, String)) {
    require(field, attributes.len() <= ATTRIBUTES_MAX, format!("at most {ATTRIBUTES_MAX}"));
    for (name, value) in attributes {
        let fits = is_name(name, ATTRIBUTE_NAME_CHARS_MAX);
        require(field, fits, format!("{name:?}: a name is 1 to {ATTRIBUTE_NAME_CHARS_MAX} of a-z, A-Z, 0-9, _ and -"));
        let fits = !value.trim().is_empty() && value.chars().count() <= ATTRIBUTE_VALUE_CHARS_MAX;
        require(field, fits, format!("{name}: a value is 1 to {ATTRIBUTE_VALUE_CHARS_MAX} characters"));
    }
}

/// Whether a text can name an attribute or a tax class.
pub(crate) fn is_name(text: &str, bytes_max: usize) -> bool {
    let plain = text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_' || char == '-');
    !text.is_empty() && text.len() <= bytes_max && plain
}
