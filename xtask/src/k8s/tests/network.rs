//! Policies that allow too little or too much.

use serde_json::{Value, json};

use super::{Overlay, find};

fn peer(name: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}})
}

/// Takes a peer out of the first rule of a policy that has it.
fn drop_peer(overlay: &mut Overlay, policy: &str, rules: &str, peers: &str, name: &str) {
    let rules = overlay.at(policy, rules).as_array_mut().unwrap();
    let mut lists = rules.iter_mut().map(|rule| rule[peers].as_array_mut().unwrap());
    let list = lists.find(|list| list.contains(&peer(name))).unwrap();
    list.retain(|found| *found != peer(name));
}

#[test]
fn calls_that_there_are_have_to_be_allowed_at_both_ends() {
    find(&[
        (
            &|overlay| drop_peer(overlay, "NetworkPolicy/orders", "/spec/egress", "to", "payments"),
            &[
                "Deployment/orders: no NetworkPolicy lets the call out from Deployment/orders to Deployment/payments at port 8080",
            ],
        ),
        (
            &|overlay| drop_peer(overlay, "NetworkPolicy/auth", "/spec/ingress", "from", "cart"),
            &[
                "Deployment/auth: no NetworkPolicy lets the call in from Deployment/cart to Deployment/auth at port 8080",
            ],
        ),
        (
            &|overlay| overlay.remove("NetworkPolicy/cart-to-redis"),
            &[
                "Deployment/cart: no NetworkPolicy lets the call out from Deployment/cart to StatefulSet/redis at port 6379",
            ],
        ),
        (
            &|overlay| overlay.set("NetworkPolicy/stores", "/spec/ingress/0/ports/0/port", json!(80)),
            &[
                "StatefulSet/stores: no NetworkPolicy lets the call in from Deployment/auth to StatefulSet/stores at port 8080",
                "StatefulSet/stores: no NetworkPolicy lets the call in from Deployment/catalog to StatefulSet/stores at port 8080",
                "StatefulSet/stores: no NetworkPolicy lets the call in from Deployment/orders to StatefulSet/stores at port 8080",
                "StatefulSet/stores: no NetworkPolicy lets the call in from Deployment/payments to StatefulSet/stores at port 8080",
                "StatefulSet/stores: no NetworkPolicy lets the call in from Deployment/shipping to StatefulSet/stores at port 8080",
                "NetworkPolicy/stores: lets Deployment/auth call StatefulSet/stores at port 80, for which there is no reason",
                "NetworkPolicy/stores: lets Deployment/catalog call StatefulSet/stores at port 80, for which there is no reason",
                "NetworkPolicy/stores: lets Deployment/orders call StatefulSet/stores at port 80, for which there is no reason",
                "NetworkPolicy/stores: lets Deployment/payments call StatefulSet/stores at port 80, for which there is no reason",
                "NetworkPolicy/stores: lets Deployment/shipping call StatefulSet/stores at port 80, for which there is no reason",
            ],
        ),
        // A service that begins to call another one.
        (
            &|overlay| {
                let shipping = overlay.application.components.get_mut("shipping").unwrap();
                shipping.allowed_outbound_hosts.push("{{ catalog_url }}".to_owned());
            },
            &[
                "Deployment/shipping: no NetworkPolicy lets the call out from Deployment/shipping to Deployment/catalog at port 8080",
                "Deployment/catalog: no NetworkPolicy lets the call in from Deployment/shipping to Deployment/catalog at port 8080",
            ],
        ),
    ]);
}

#[test]
fn nothing_else_is_allowed() {
    find(&[
        (
            &|overlay| overlay.push("NetworkPolicy/cart", "/spec/egress/0/to", peer("payments")),
            &[
                "NetworkPolicy/cart: lets Deployment/cart call Deployment/payments at port 8080, for which there is no reason",
            ],
        ),
        (
            &|overlay| overlay.push("NetworkPolicy/payments", "/spec/ingress/0/from", peer("cart")),
            &[
                "NetworkPolicy/payments: lets Deployment/cart call Deployment/payments at port 8080, for which there is no reason",
            ],
        ),
        (
            &|overlay| overlay.unset("NetworkPolicy/redis", "/spec/ingress/0/ports"),
            &[
                "NetworkPolicy/redis: lets Deployment/cart call StatefulSet/redis at any port, for which there is no reason",
            ],
        ),
        (
            &|overlay| overlay.push("NetworkPolicy/registry", "/spec/egress/0/ports", json!({"port": 22})),
            &[
                "NetworkPolicy/registry: lets Deployment/auth call the outside at port 22, for which there is no reason",
                "NetworkPolicy/registry: lets Deployment/cart call the outside at port 22, for which there is no reason",
                "NetworkPolicy/registry: lets Deployment/catalog call the outside at port 22, for which there is no reason",
                "NetworkPolicy/registry: lets Deployment/orders call the outside at port 22, for which there is no reason",
                "NetworkPolicy/registry: lets Deployment/payments call the outside at port 22, for which there is no reason",
                "NetworkPolicy/registry: lets Deployment/shipping call the outside at port 22, for which there is no reason",
            ],
        ),
        (
            &|overlay| overlay.remove("NetworkPolicy/default-deny"),
            &["the overlay: no NetworkPolicy of the type Ingress is for all pods"],
        ),
        // A service that does not call another one any more.
        (
            &|overlay| {
                let cart = overlay.application.components.get_mut("cart").unwrap();
                cart.allowed_outbound_hosts.retain(|host| !host.contains("catalog"));
            },
            &[
                "NetworkPolicy/cart: lets Deployment/cart call Deployment/catalog at port 8080, for which there is no reason",
                "NetworkPolicy/catalog: lets Deployment/cart call Deployment/catalog at port 8080, for which there is no reason",
            ],
        ),
    ]);
}
