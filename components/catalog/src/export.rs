//! Exporting: all products in the form that an import reads, batch by batch, so that memory stays bounded.

use std::sync::Arc;

use axum::body::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use serde_json::json;
use service::Error;

use crate::app::App;
use crate::category::Taxonomy;
use crate::import::Format;
use crate::product::{Product, Variant};
use crate::store::categories;
use crate::store::products::{Loaded, attribute_names, batch};

/// Products that are read from the store at a time.
const BATCH_PRODUCTS: u32 = 200;

/// Everything that stays the same over an export.
struct Export {
    app: Arc<App>,
    format: Format,
    taxonomy: Taxonomy,
    attributes: Vec<String>,
}

/// Where an export stands.
enum Progress {
    Start,
    After(i64),
    Done,
}

/// The file in pieces. The first may fail before anything is sent; later failures break the stream off.
pub(crate) async fn export(
    app: Arc<App>,
    format: Format,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send, Error> {
    let taxonomy = categories::all(&app.database).await?;
    // Only CSV has to know its columns before its first row.
    let attributes = match format {
        Format::Csv => attribute_names(&app.database).await?,
        Format::JsonLines | Format::JsonArray => Vec::new(),
    };
    let export = Arc::new(Export { app, format, taxonomy, attributes });
    Ok(try_unfold((export, Progress::Start), |(export, progress)| async move {
        let (mut text, after) = match progress {
            Progress::Done => return Ok(None),
            Progress::Start => (export.head()?, 0),
            Progress::After(seq) => (Vec::new(), seq),
        };
        let products = batch(&export.app.database, after, BATCH_PRODUCTS).await?;
        let first = matches!(progress, Progress::Start);
        export.append(&mut text, &products, first)?;
        let next = match products.last() {
            Some(last) if products.len() == BATCH_PRODUCTS as usize => Progress::After(last.seq),
            _ => {
                text.extend_from_slice(export.foot());
                Progress::Done
            }
        };
        Ok(Some((Bytes::from(text), (export, next))))
    }))
}

impl Export {
    fn head(&self) -> Result<Vec<u8>, Error> {
        match self.format {
            Format::JsonLines => Ok(Vec::new()),
            Format::JsonArray => Ok(b"[\n".to_vec()),
            Format::Csv => {
                let mut names: Vec<String> =
                    PRODUCT_COLUMNS.iter().chain(VARIANT_COLUMNS).map(ToString::to_string).collect();
                names.extend(self.attributes.iter().map(|name| format!("attr.{name}")));
                names.extend(self.attributes.iter().map(|name| format!("variant.{name}")));
                csv_lines([names])
            }
        }
    }

    fn foot(&self) -> &'static [u8] {
        match self.format {
            Format::JsonArray => b"\n]\n",
            Format::JsonLines | Format::Csv => b"",
        }
    }

    fn append(&self, text: &mut Vec<u8>, products: &[Loaded], first: bool) -> Result<(), Error> {
        if self.format == Format::Csv {
            let rows = products.iter().flat_map(|loaded| {
                let product = &loaded.product;
                product.variants.iter().map(move |variant| self.row(product, variant))
            });
            text.extend(csv_lines(rows)?);
            return Ok(());
        }
        for (index, loaded) in products.iter().enumerate() {
            if self.format == Format::JsonArray && !(first && index == 0) {
                text.extend_from_slice(b",\n");
            }
            serde_json::to_writer(&mut *text, &self.record(&loaded.product))?;
            if self.format == Format::JsonLines {
                text.push(b'\n');
            }
        }
        Ok(())
    }

    fn record(&self, product: &Product) -> serde_json::Value {
        let variant = |variant: &Variant| {
            json!({
                "sku": variant.sku,
                "attributes": variant.attributes,
                "price": variant.price,
                "weight_g": variant.weight_g,
                "stock": variant.stock.on_hand,
            })
        };
        json!({
            "id": product.id,
            "slug": product.slug,
            "title": product.title,
            "brand": product.brand,
            "description": product.description,
            "categories": self.paths(product),
            "attributes": product.attributes,
            "images": product.images,
            "tax_class": product.tax_class,
            "archived": product.archived,
            "variants": product.variants.iter().map(variant).collect::<Vec<_>>(),
        })
    }

    fn row(&self, product: &Product, variant: &Variant) -> Vec<String> {
        let mut row = vec![
            product.id.to_string(),
            product.slug.to_string(),
            product.title.clone(),
            product.brand.clone().unwrap_or_default(),
            product.description.clone(),
            self.paths(product).join("|"),
            product.images.join("|"),
            product.tax_class.clone(),
            product.archived.to_string(),
            variant.sku.as_str().to_owned(),
            variant.price.to_string(),
            variant.weight_g.to_string(),
            variant.stock.on_hand.to_string(),
        ];
        for attributes in [&product.attributes, &variant.attributes] {
            row.extend(self.attributes.iter().map(|name| attributes.get(name).cloned().unwrap_or_default()));
        }
        row
    }

    fn paths(&self, product: &Product) -> Vec<String> {
        product.categories.iter().map(|slug| self.taxonomy.path(slug.as_str())).collect()
    }
}

const PRODUCT_COLUMNS: &[&str] =
    &["id", "slug", "title", "brand", "description", "categories", "images", "tax_class", "archived"];
const VARIANT_COLUMNS: &[&str] = &["sku", "price", "weight_g", "stock"];

fn csv_lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| serde_json::Error::io(error.into()))?;
    }
    writer.into_inner().map_err(|error| serde_json::Error::io(error.into_error()).into())
}
