//! Who may ask for what: every route of every service, asked by everybody, through the real host.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::host::Host;
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tests::tokens::TokenIssuer;
use tests::visitor::Visitor;

const SERVICES: [&str; 6] = ["auth", "cart", "catalog", "orders", "payments", "shipping"];

/// What everybody is answered, in the order in which they ask. The owner comes last, because some things are then gone.
///
/// - `none`: nobody, who shows nothing.
/// - `guest`: has the tokens of another guest's cart and order.
/// - `forged`: one token after the other that proves nothing though it claims to be the owner's and an admin's: expired,
///   with a wrong signature, with `alg=none`, signed with the public key as a secret, a refresh token, an API key itself.
/// - `other`: another customer.
/// - `key`: a machine with an API key that an admin has made for the role staff.
/// - `staff` and `admin`.
/// - `owner`: the customer whose account, cart, order, API key, payment and parcel the paths name.
///
/// A request that changes something lacks what its route asks for, where that comes after the question who asks: 400, 422
/// and 428 say that the caller may; to who shows nothing, a cart's 400 says that it asks for one of two tokens. The body is
/// `{}` where none is given.
const TABLE: &str = r#"
                                                    none guest forged other  key staff admin owner
POST   /api/auth/register                            422   422    422   422  422   422   422   422
POST   /api/auth/login                               422   422    422   422  422   422   422   422
POST   /api/auth/refresh                             422   422    422   422  422   422   422   422
POST   /api/auth/logout                              422   422    422   422  422   422   422   422
GET    /api/auth/me                                  401   401    401   200  200   200   200   200
PATCH  /api/auth/me                                  401   401    401   428  428   428   428   428
DELETE /api/auth/me                                  401   401    401   403  403   403   403   403 {"password":"not-theirs"}
POST   /api/auth/password                            401   401    401   422  422   422   422   422
POST   /api/auth/password/reset-requests             422   422    422   422  422   422   422   422
POST   /api/auth/password/resets                     422   422    422   422  422   422   422   422
POST   /api/auth/email/verification-requests         401   401    401   204  204   204   204   204
POST   /api/auth/email/verifications                 422   422    422   422  422   422   422   422
GET    /api/auth/api-keys                            401   401    401   200  200   200   200   200
POST   /api/auth/api-keys                            401   401    401   422  422   422   422   422
DELETE /api/auth/api-keys/{id}                       401   401    401   404  404   404   404   204
POST   /api/auth/token                               400   400    400   400  400   400   400   400
GET    /api/auth/oidc/{provider}/start               404   404    404   404  404   404   404   404
GET    /api/auth/oidc/{provider}/callback            404   404    404   404  404   404   404   404
GET    /api/auth/accounts                            401   401    401   403  200   200   200   403
POST   /api/auth/accounts                            401   401    401   403  403   403   422   403
GET    /api/auth/accounts/{id}                       401   401    401   403  200   200   200   403
PUT    /api/auth/accounts/{id}/role                  401   401    401   403  403   403   428   403 {"role":"admin"}
PUT    /api/auth/accounts/{id}/customer-group        401   401    401   403  428   428   428   403 {"customer_group":"trade"}
POST   /api/auth/accounts/{id}/unlock                401   401    401   403  204   204   204   403
POST   /api/auth/keys/rotate                         401   401    401   403  403   403   200   403
GET    /api/auth/openapi.json                        200   200    200   200  200   200   200   200
GET    /.well-known/jwks.json                        200   200    200   200  200   200   200   200

GET    /api/cart                                     400   200    401   200  200   200   200   200
POST   /api/cart                                     201   201    401   200  200   200   200   200
POST   /api/cart/lines                               400   422    401   422  422   422   422   422
PUT    /api/cart/lines/{sku}                         400   404    401   404  404   404   404   200 {"quantity":2}
DELETE /api/cart/lines/{sku}                         400   404    401   404  404   404   404   200
POST   /api/cart/coupons                             400   422    401   422  422   422   422   422
DELETE /api/cart/coupons/{code}                      400   404    401   404  404   404   404   200
PUT    /api/cart/destination                         400   422    401   422  422   422   422   422
POST   /api/cart/merge                               401   401    401   404  404   404   404   404 {"token":"nobodys"}
DELETE /api/cart                                     400   204    401   204  204   204   204   204
GET    /api/cart/openapi.json                        200   200    200   200  200   200   200   200

GET    /api/products                                 200   200    200   200  200   200   200   200
POST   /api/products                                 401   401    401   403  422   422   422   403
GET    /api/products/{key}                           200   200    200   200  200   200   200   200
PUT    /api/products/{key}                           401   401    401   403  428   428   428   403
PATCH  /api/products/{key}                           401   401    401   403  428   428   428   403
DELETE /api/products/{key}                           401   401    401   403  428   428   428   403
POST   /api/products/{key}/variants/{sku}/stock      401   401    401   403  422   422   422   403
GET    /api/categories                               200   200    200   200  200   200   200   200
POST   /api/categories                               401   401    401   403  422   422   422   403
GET    /api/categories/{slug}                        200   200    200   200  200   200   200   200
PUT    /api/categories/{slug}                        401   401    401   403  422   422   422   403
GET    /api/promotions                               401   401    401   403  200   200   200   403
POST   /api/promotions                               401   401    401   403  422   422   422   403
GET    /api/promotions/{id}                          401   401    401   403  200   200   200   403
PUT    /api/promotions/{id}                          401   401    401   403  428   428   428   403
DELETE /api/promotions/{id}                          401   401    401   403  428   428   428   403
GET    /api/tax-rates                                401   401    401   403  200   200   200   403
POST   /api/tax-rates                                401   401    401   403  422   422   422   403
GET    /api/tax-rates/{id}                           401   401    401   403  200   200   200   403
PUT    /api/tax-rates/{id}                           401   401    401   403  428   428   428   403
DELETE /api/tax-rates/{id}                           401   401    401   403  428   428   428   403
GET    /api/tax-settings                             401   401    401   403  200   200   200   403
PUT    /api/tax-settings                             401   401    401   403  428   428   428   403
POST   /api/catalog/import                           401   401    401   403  200   200   200   403
GET    /api/catalog/export                           401   401    401   403  200   200   200   403
GET    /api/catalog/openapi.json                     200   200    200   200  200   200   200   200

POST   /api/checkout                                 401   401    401   400  400   400   400   400 CHECKOUT
GET    /api/orders                                   401   401    401   200  200   200   200   200
GET    /api/orders/{id}                              401   404    401   404  200   200   200   200
GET    /api/orders/{id}/history                      401   404    401   404  200   200   200   200
POST   /api/orders/{id}/cancel                       401   404    401   404  428   428   428   428
POST   /api/orders/{id}/refunds                      401   401    401   403  400   400   400   403 {"reason":"broken","restock":true}
POST   /api/orders/{id}/transitions                  401   401    401   403  428   428   428   403 {"to":"packed"}
GET    /api/orders/audit                             401   401    401   403  403   403   200   403
GET    /api/orders/openapi.json                      200   200    200   200  200   200   200   200

GET    /api/payments/intents/{id}                    401   401    401   403  200   200   200   403
POST   /api/payments/intents/{order_id}/confirm      401   404    401   404  200   200   200   200
POST   /api/payments/webhooks/{provider}             400   400    400   400  400   400   400   400
GET    /api/payments/openapi.json                    200   200    200   200  200   200   200   200

POST   /api/shipping/quotes                          422   422    422   422  422   422   422   422
GET    /api/shipping/cities                          400   400    400   400  400   400   400   400
GET    /api/shipping/postcodes                       400   400    400   400  400   400   400   400
POST   /api/shipping/places/import                   401   401    401   403  415   415   415   403
GET    /api/shipping/zones                           401   401    401   403  200   200   200   403
POST   /api/shipping/zones                           401   401    401   403  422   422   422   403
GET    /api/shipping/zones/{id}                      401   401    401   403  200   200   200   403
PUT    /api/shipping/zones/{id}                      401   401    401   403  422   422   422   403
DELETE /api/shipping/zones/{id}                      401   401    401   403  428   428   428   403
GET    /api/shipping/zones/{id}/methods              401   401    401   403  200   200   200   403
POST   /api/shipping/zones/{id}/methods              401   401    401   403  422   422   422   403
GET    /api/shipping/methods/{id}                    401   401    401   403  200   200   200   403
PUT    /api/shipping/methods/{id}                    401   401    401   403  422   422   422   403
DELETE /api/shipping/methods/{id}                    401   401    401   403  428   428   428   403
GET    /api/shipping/shipments                       401   401    401   403  200   200   200   403
GET    /api/shipping/shipments/{id}                  401   401    401   403  200   200   200   403
POST   /api/shipping/shipments/{id}/events           401   401    401   403  422   422   422   403
GET    /api/shipping/openapi.json                    200   200    200   200  200   200   200   200
"#;

const COLUMNS: [&str; 8] = ["none", "guest", "forged", "other", "key", "staff", "admin", "owner"];

/// A checkout that lacks a key.
fn checkout() -> Value {
    json!({
        "shipping_address": { "name": "Ann", "lines": ["1 Road"], "city": "Boston", "country": "US" },
        "shipping_quote": "none", "payment_method": "tok_approve", "expected_total": { "amount": 1, "currency": "USD" },
    })
}

/// One line of the table.
struct Row {
    method: Method,
    path: &'static str,
    statuses: [u16; COLUMNS.len()],
    body: Value,
}

fn table() -> Vec<Row> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let mut word = || words.next().expect("a whole line");
        let (method, path) = (word().parse().expect("a method"), word());
        let statuses = COLUMNS.map(|_| word().parse().expect("a status"));
        let body = match words.collect::<String>().as_str() {
            "" => json!({}),
            "CHECKOUT" => checkout(),
            body => serde_json::from_str(body).expect("JSON"),
        };
        Row { method, path, statuses, body }
    };
    let mut lines = TABLE.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.next().expect("a first line").split_whitespace().eq(COLUMNS));
    lines.map(row).collect()
}

/// An operation as a service describes it: its method and path, and how it may answer.
struct Operation {
    method: Method,
    path: String,
    statuses: Vec<String>,
}

async fn operations(host: &Host, service: &str) -> Vec<Operation> {
    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let document = host.json(&format!("/api/{service}/openapi.json")).await;
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            let Some(operation) = item.get(method.as_str().to_lowercase()) else { continue };
            let statuses = operation["responses"].as_object().expect("responses").keys().cloned().collect();
            found.push(Operation { method, path: path.clone(), statuses });
        }
    }
    found
}

/// Somebody who asks: what is wrong with their token, and the headers that they send.
type Asker = (String, Vec<(&'static str, String)>);

fn bearer(name: &str, token: &str) -> Asker {
    (name.to_owned(), vec![("authorization", format!("Bearer {token}"))])
}

/// A shop with something of everything, the owner's things by path, and those who ask for them.
struct World<'a> {
    shop: &'a Shop,
    places: Vec<(&'static str, String)>,
    /// By column.
    askers: [Vec<Asker>; COLUMNS.len()],
}

impl<'a> World<'a> {
    async fn of(shop: &'a Shop) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (ann, bob) =
            tokio::join!(Visitor::registered(shop, "ann@example.com"), Visitor::registered(shop, "bob@example.com"));
        let sue = Visitor::employed(shop, "sue@example.com", "staff").await;
        let amy = Visitor::employed(shop, "amy@example.com", "admin").await;

        let guest = Shopper::new(&Site::of(&shop.host)).await;
        let of_guest = guest.buy("P-2", 1, "guest", "tok_approve").await.is(201);
        let cart = json_of(shop.host.post("/api/cart").send().await.expect("an answer"), 201).await;
        let guest = vec![("x-cart-token", text(&cart["token"])), ("x-order-token", text(&of_guest["order_token"]))];

        let line = json!({ "sku": "P-1", "quantity": 1 });
        ann.ask(Method::POST, "/api/cart/lines", &line, 200).await;
        let order = ann.check_out("ann").await;
        ann.ask(Method::POST, "/api/cart/lines", &line, 200).await;
        ann.ask(Method::POST, "/api/cart/coupons", &json!({ "code": "TENTH" }), 200).await;
        let of_ann = ann.ask(Method::POST, "/api/auth/api-keys", &json!({ "name": "hers" }), 201).await;

        let wish = json!({ "name": "machine", "role": "staff" });
        let key = amy.ask(Method::POST, "/api/auth/api-keys", &wish, 201).await;
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}", text(&key["id"]), text(&key["key"]));
        let form_type = ("content-type", "application/x-www-form-urlencoded");
        let machine = shop.host.post("/api/auth/token").header(form_type.0, form_type.1).body(form).send().await;
        let machine = text(&json_of(machine.expect("an answer"), 200).await["access_token"]);

        sue.ask(Method::POST, "/api/categories", &json!({ "slug": "tea", "name": "Tea" }), 201).await;
        let reward = json!({ "kind": "percentage", "basis_points": 1_000 });
        let promotion = json!({ "title": "A tenth off", "coupon": "TENTH", "reward": reward });
        let promotion = sue.ask(Method::POST, "/api/promotions", &promotion, 201).await;
        let vat = json!({
            "name": "VAT", "country": "DE", "tax_class": "standard", "rate": 190_000, "applies_to_shipping": true,
        });
        let vat = sue.ask(Method::POST, "/api/tax-rates", &vat, 201).await;
        let zone = text(&sue.get("/api/shipping/zones").await["items"][0]["id"]);
        let method = text(&sue.get(&format!("/api/shipping/zones/{zone}/methods")).await["items"][0]["id"]);
        let parcels = sue.get("/api/shipping/shipments").await;
        let parcel = parcels["items"].as_array().expect("a list").iter().find(|one| one["order_id"] == order["id"]);
        let intent = intent_of(&shop.host, &text(&order["id"]));

        let mut claims = TokenIssuer::claims("admin");
        claims["sub"] = ann.account_id.clone().into();
        let honest = Visitor::with_token(shop, shop.issuer.access_token_of(&claims));
        honest.get("/api/orders/audit").await;
        honest.get(&format!("/api/orders/{}", text(&order["id"]))).await;
        let mut forged: Vec<Asker> =
            shop.issuer.forgeries(&claims).iter().map(|(name, token)| bearer(name, token)).collect();
        forged.push(bearer("refresh token", &ann.refresh_token));
        forged.push(bearer("the API key itself", &text(&key["key"])));

        let one = |name: &str, token: &str| vec![bearer(name, token)];
        Self {
            shop,
            places: vec![
                ("/api/auth/api-keys/{id}", format!("/api/auth/api-keys/{}", text(&of_ann["id"]))),
                ("/api/auth/accounts/{id}", format!("/api/auth/accounts/{}", ann.account_id)),
                ("/api/auth/oidc/{provider}", "/api/auth/oidc/nobody".to_owned()),
                ("/api/cart/lines/{sku}", "/api/cart/lines/P-1".to_owned()),
                ("/api/cart/coupons/{code}", "/api/cart/coupons/TENTH".to_owned()),
                ("/api/products/{key}/variants/{sku}", "/api/products/product-1/variants/P-1".to_owned()),
                ("/api/products/{key}", "/api/products/product-1".to_owned()),
                ("/api/categories/{slug}", "/api/categories/tea".to_owned()),
                ("/api/promotions/{id}", format!("/api/promotions/{}", text(&promotion["id"]))),
                ("/api/tax-rates/{id}", format!("/api/tax-rates/{}", text(&vat["id"]))),
                ("/api/orders/{id}", format!("/api/orders/{}", text(&order["id"]))),
                ("/api/payments/intents/{id}", format!("/api/payments/intents/{intent}")),
                ("/api/payments/intents/{order_id}", format!("/api/payments/intents/{}", text(&order["id"]))),
                ("/api/payments/webhooks/{provider}", "/api/payments/webhooks/test".to_owned()),
                ("/api/shipping/zones/{id}", format!("/api/shipping/zones/{zone}")),
                ("/api/shipping/methods/{id}", format!("/api/shipping/methods/{method}")),
                (
                    "/api/shipping/shipments/{id}",
                    format!("/api/shipping/shipments/{}", text(&parcel.expect("a parcel")["id"])),
                ),
            ],
            askers: [
                vec![("none".to_owned(), Vec::new())],
                vec![("guest".to_owned(), guest)],
                forged,
                one("other", &bob.token),
                one("key", &machine),
                one("staff", &sue.token),
                one("admin", &amy.token),
                one("owner", &ann.token),
            ],
        }
    }

    /// Where the owner's thing of a path is.
    fn place(&self, path: &str) -> String {
        let found = self.places.iter().find_map(|(start, place)| Some(format!("{place}{}", path.strip_prefix(start)?)));
        let place = found.unwrap_or_else(|| path.to_owned());
        assert!(!place.contains('{'), "the test has nothing at {path}");
        place
    }

    async fn status(&self, row: &Row, (_, headers): &Asker) -> u16 {
        let request = self.shop.host.client().request(row.method.clone(), self.shop.host.url(&self.place(row.path)));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        status(request, &row.method, &row.body).await
    }
}

async fn status(request: RequestBuilder, method: &Method, body: &Value) -> u16 {
    let request = if *method == Method::GET { request } else { request.json(body) };
    request.send().await.expect("an answer").status().as_u16()
}

/// The payment of an order, as its service keeps it.
fn intent_of(host: &Host, order: &str) -> String {
    let database = rusqlite::Connection::open(host.folder().join("payments.db")).expect("a database");
    let found = database.query_row("SELECT id FROM intents WHERE order_id = ?1", [order], |row| row.get(0));
    found.expect("the order was paid")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_table_says() {
    let shop = Shop::start().await.with_products(2).await;
    let mut described = Vec::new();
    for service in SERVICES {
        described.extend(operations(&shop.host, service).await);
    }
    let public = |operation: &&Operation| !operation.path.starts_with("/internal/");
    let rows = table();
    let of_services: BTreeSet<_> =
        described.iter().filter(public).map(|one| format!("{} {}", one.method, one.path)).collect();
    let of_table: BTreeSet<_> = rows.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(of_table, of_services, "the table has every route, and no other");

    let world = World::of(&shop).await;
    let mut wrong = Vec::new();
    for row in &rows {
        let operation = described.iter().find(|one| (&one.method, one.path.as_str()) == (&row.method, row.path));
        let operation = operation.expect("the table has no other routes");
        for (askers, expected) in world.askers.iter().zip(row.statuses) {
            for asker in askers {
                let found = world.status(row, asker).await;
                if found != expected {
                    wrong.push(format!("{} {} by {}: {found}, not {expected}", row.method, row.path, asker.0));
                } else if !operation.statuses.contains(&found.to_string()) {
                    wrong.push(format!("{} {} by {}: {found} is not described", row.method, row.path, asker.0));
                }
            }
        }
    }
    // Whatever is for the shop's own services has no public way in, for nobody.
    for operation in described.iter().filter(|operation| !public(operation)) {
        for asker in world.askers.iter().flatten() {
            let request = shop.host.client().request(operation.method.clone(), shop.host.url(&operation.path));
            let request = asker.1.iter().fold(request, |request, (name, value)| request.header(*name, value));
            let found = status(request, &operation.method, &json!({})).await;
            if found != 404 {
                wrong.push(format!("{} {} by {}: {found}, not 404", operation.method, operation.path, asker.0));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_internal_routes_are_in_reach_only_the_shops_secret_opens_them() {
    const SECRET: &str = "between-us";
    for service in SERVICES {
        let with_secret = |app: tests::app::App| app.environment("SPIN_VARIABLE_INTERNAL_SECRET", SECRET);
        let shop = Shop::start_with_internal_routes_of(service, with_secret).await;
        let operations = operations(&shop.host, service).await;
        for Operation { method, path, .. } in operations.iter().filter(|one| one.path.starts_with("/internal/")) {
            let path = path.replace(['{', '}'], "");
            let request = || shop.host.client().request(method.clone(), shop.host.url(&path));
            let admin = request().bearer_auth(shop.issuer.access_token("admin"));
            for (who, request) in [
                ("nobody", request()),
                ("an admin", admin),
                ("who guesses", request().header("x-internal-secret", "between-u")),
            ] {
                assert_eq!(status(request, method, &json!({})).await, 401, "{method} {path} by {who}");
            }
            let known = status(request().header("x-internal-secret", SECRET), method, &json!({})).await;
            assert!(known != 401 && known < 500, "{method} {path} by a service: {known}");
        }
    }
}
