//! A newcomer's first minutes: start, products, a query, a restart.

use serde_json::Value;
use tests::shop::Shop;

fn titles(page: &Value) -> Vec<&str> {
    let products = page["items"].as_array().expect("a list of products");
    products.iter().map(|product| product["title"].as_str().expect("a title")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_there_after_a_restart() {
    let mut shop = Shop::start().await.with_products(3).await;
    let before = shop.host.json("/api/products?sort=price").await;
    assert_eq!(titles(&before), ["Product 1", "Product 2", "Product 3"]);

    assert_eq!(shop.host.stop().await.code(), Some(0));
    shop.host.restart().await;
    assert_eq!(shop.host.json("/api/products?sort=price").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_products_to_look_at() {
    let host = Shop::host_with_its_own_keys(|app| app.argument("--demo")).await;
    host.log_line(&["the demo data is in"]).await;
    let page = host.json("/api/products?limit=50").await;
    assert!(titles(&page).len() >= 20, "{page}");
    let tree = host.json("/api/categories").await;
    assert!(tree["categories"].as_array().is_some_and(|categories| !categories.is_empty()), "{tree}");
}
