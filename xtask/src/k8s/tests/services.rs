//! Components that are not deployed, not reached, or given the wrong things.

use serde_json::json;

use super::find;

const CONTAINER: &str = "/spec/template/spec/containers/0";

#[test]
fn every_component_is_deployed_and_reached() {
    find(&[
        (
            &|overlay| overlay.remove("Deployment/shipping"),
            &[
                "Service/shipping: selects no pods",
                "Service/shipping-pods: selects no pods",
                "component shipping: no workload runs it",
            ],
        ),
        (
            &|overlay| {
                overlay.replace(
                    "ConfigMap/bodega-edge",
                    "/data/gateway.toml",
                    "path = \"/api/checkout\"",
                    "path = \"/api/check\"",
                );
            },
            &["Deployment/edge container bodega: its gateway leads /api/checkout nowhere"],
        ),
        (
            &|overlay| {
                let (from, to) = (
                    "path = \"/api/checkout\"\nto = { upstream = \"orders\" }",
                    "path = \"/api/checkout\"\nto = { upstream = \"cart\" }",
                );
                overlay.replace("ConfigMap/bodega-edge", "/data/gateway.toml", from, to);
            },
            &[
                "Deployment/edge container bodega: its gateway leads /api/checkout to \"cart\", which does not run orders",
            ],
        ),
        (
            &|overlay| overlay.replace("ConfigMap/bodega-edge", "/data/gateway.toml", "deny = true", "deny = false"),
            &["Deployment/edge container bodega: its gateway does not deny /internal/..."],
        ),
        (
            &|overlay| {
                overlay.replace("ConfigMap/bodega-gateways", "/data/cart.toml", "\"/internal/...\"", "\"/intern/...\"")
            },
            &["Deployment/cart container bodega: its gateway does not lead /internal/... to cart"],
        ),
        (
            &|overlay| overlay.remove("Ingress/shop"),
            &[
                "the overlay: no Ingress, HTTPRoute or Service leads into it",
                "NetworkPolicy/edge: lets the outside call Deployment/edge at port 8080, for which there is no reason",
            ],
        ),
    ]);
}

#[test]
fn secrets_go_to_whom_they_are_for() {
    let secret = |name: &str| json!({"name": format!("SPIN_VARIABLE_{name}"), "valueFrom": {"secretKeyRef": {"name": "bodega-secrets", "key": name}}});
    find(&[
        (
            &|overlay| overlay.push("Deployment/cart", &format!("{CONTAINER}/env"), secret("ORDERS_TOKEN_SECRET")),
            &[
                "Deployment/cart container bodega: is given the secret \"orders_token_secret\", which its components do not use",
            ],
        ),
        (
            &|overlay| {
                let env = overlay.at("Deployment/orders", &format!("{CONTAINER}/env")).as_array_mut().unwrap();
                env.retain(|variable| variable["name"] != "SPIN_VARIABLE_ORDERS_TOKEN_SECRET");
            },
            &[
                "Deployment/orders container bodega: is not given the secret \"orders_token_secret\", so each pod would make one of its own",
            ],
        ),
        (
            &|overlay| {
                let variable = json!({"name": "SPIN_VARIABLE_INTERNAL_SECRET", "value": "12345"});
                let env = overlay.at("Deployment/cart", &format!("{CONTAINER}/env")).as_array_mut().unwrap();
                env.retain(|found| found["name"] != variable["name"]);
                env.push(variable);
            },
            &["Deployment/cart container bodega: the secret \"internal_secret\" is not from a Secret"],
        ),
        (
            &|overlay| overlay.set(&overlay.variables(), "/data/STRIPE_SECRET_KEY", json!("sk")),
            &["ConfigMap/bodega-variables-27fhdt7g7c: the variable \"stripe_secret_key\" is a secret"],
        ),
        (
            &|overlay| overlay.set(&overlay.variables(), "/data/CURENCY", json!("EUR")),
            &["ConfigMap/bodega-variables-27fhdt7g7c: spin.toml has no variable \"curency\""],
        ),
    ]);
}

#[test]
fn ports_and_probes_are_those_of_the_host() {
    find(&[
        (
            &|overlay| {
                overlay.set("Deployment/cart", &format!("{CONTAINER}/readinessProbe/httpGet/path"), json!("/healthz"))
            },
            &["Deployment/cart container bodega: readinessProbe asks \"/healthz\"; the host answers \"/readyz\""],
        ),
        (
            &|overlay| overlay.set("Deployment/cart", &format!("{CONTAINER}/livenessProbe/httpGet/port"), json!("web")),
            &["Deployment/cart container bodega: livenessProbe: the pod has no port \"web\""],
        ),
        (
            &|overlay| {
                overlay.set("Deployment/cart", &format!("{CONTAINER}/livenessProbe/httpGet/port"), json!("admin"))
            },
            &["Deployment/cart container bodega: livenessProbe does not ask at the port of the application"],
        ),
        (
            &|overlay| {
                let env = overlay.at("Deployment/cart", &format!("{CONTAINER}/env")).as_array_mut().unwrap();
                let listen = env.iter_mut().find(|variable| variable["name"] == "SPIN_HTTP_LISTEN_ADDR").unwrap();
                listen["value"] = json!("0.0.0.0:3000");
            },
            &[
                "Deployment/cart container bodega: the port \"http\" is 8080, and the host listens at 3000",
                "Deployment/cart container bodega: startupProbe does not ask at the port of the application",
                "Deployment/cart container bodega: readinessProbe does not ask at the port of the application",
                "Deployment/cart container bodega: livenessProbe does not ask at the port of the application",
            ],
        ),
        (
            &|overlay| overlay.replace("Deployment/orders", &format!("{CONTAINER}/args/4"), "60000", "5000"),
            &["Deployment/orders container bodega: drains for 5000 ms, but orders may take 60000 ms to answer"],
        ),
    ]);
}
