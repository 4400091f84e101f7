//! What spin-operator and Flagger would make of a mistake.

use serde_json::json;

use super::find_in;

const URL_OF_TICK: &str = "/spec/jobTemplate/spec/template/spec/containers/0/env/1/value";
const GATEWAY_KEY: &str = "/spec/volumes/0/configMap/items/0/key";
const SECRET_KEY: &str = "/spec/variables/6/valueFrom/secretKeyRef/key";

#[test]
fn spin_apps_have_what_they_run_on() {
    find_in(
        "spinkube",
        &[
            (
                &|overlay| overlay.set("SpinApp/cart", "/spec/executor", json!("spintainer")),
                &["SpinApp/cart: there is no SpinAppExecutor \"spintainer\"", "component cart: no workload runs it"],
            ),
            (
                &|overlay| overlay.set("SpinApp/catalog", "/spec/components/0", json!("catalogue")),
                &["component catalog: no workload runs it"],
            ),
            (
                &|overlay| overlay.set("SpinApp/orders", SECRET_KEY, json!("INTERNAL")),
                &["Deployment/orders container orders: the Secret \"bodega-secrets\" has no key \"INTERNAL\""],
            ),
            (
                &|overlay| overlay.set("SpinApp/cart", GATEWAY_KEY, json!("carts.toml")),
                &["Deployment/cart: the ConfigMap \"bodega-gateways\" has no key \"carts.toml\""],
            ),
            (
                &|overlay| {
                    overlay.set("SpinApp/catalog", "/spec/runtimeConfig/loadFromSecret", json!("bodega-runtime"))
                },
                &["Deployment/catalog: there is no Secret \"bodega-runtime\""],
            ),
            (
                &|overlay| overlay.unset("SpinApp/shipping", "/spec/podLabels/app.kubernetes.io~1name"),
                &["Service/shipping-pods: selects no pods"],
            ),
        ],
    );
}

#[test]
fn pods_of_spin_apps_are_called_where_they_listen() {
    find_in(
        "spinkube",
        &[
            (
                &|overlay| overlay.set("NetworkPolicy/cart", "/spec/ingress/0/ports/0/port", json!(8080)),
                &[
                    "Deployment/cart: no NetworkPolicy lets the call in from Deployment/edge to Deployment/cart at port 80",
                    "Deployment/cart: no NetworkPolicy lets the call in from Deployment/orders to Deployment/cart at port 80",
                    "NetworkPolicy/cart: lets Deployment/orders call Deployment/cart at port 8080, for which there is no reason",
                    "NetworkPolicy/cart: lets Deployment/edge call Deployment/cart at port 8080, for which there is no reason",
                ],
            ),
            (
                &|overlay| overlay.set("CronJob/tick-auth", URL_OF_TICK, json!("http://auth/internal/sweeps")),
                &[
                    "the overlay: no CronJob ticks http://auth/internal/sweep",
                    "CronJob/tick-auth: ticks http://auth/internal/sweeps, which spin.toml does not have",
                ],
            ),
        ],
    );
}

#[test]
fn canaries_have_what_leads_to_them() {
    find_in(
        "flagger",
        &[
            (&|overlay| overlay.remove("Canary/catalog"), &["Service/catalog-pods: selects no pods"]),
            (
                &|overlay| {
                    overlay.set("Canary/catalog", "/spec/analysis/webhooks/0/url", json!("http://loadtester.tests/"))
                },
                &[
                    "Deployment/catalog: no NetworkPolicy lets the call in from namespace tests to Deployment/catalog at port 8080",
                    "NetworkPolicy/load-test-of-catalog: lets namespace flagger call Deployment/catalog at port 8080, for which there is no reason",
                ],
            ),
        ],
    );
}
