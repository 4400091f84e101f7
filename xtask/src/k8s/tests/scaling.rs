//! Selectors, autoscalers, budgets and rollouts that do not fit together.

use serde_json::json;

use super::find;

#[test]
fn selectors_select_their_own_pods() {
    find(&[
        (
            &|overlay| {
                overlay.set("Deployment/cart", "/spec/selector/matchLabels/app.kubernetes.io~1name", json!("carts"))
            },
            &["Deployment/cart: the selector does not match the labels of its own pods"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    "/spec/selector/matchLabels",
                    json!({"app.kubernetes.io/component": "service"}),
                )
            },
            &[
                "Deployment/cart: the selector matches the pods of Deployment/auth as well",
                "Deployment/cart: the selector matches the pods of Deployment/catalog as well",
                "Deployment/cart: the selector matches the pods of Deployment/orders as well",
                "Deployment/cart: the selector matches the pods of Deployment/payments as well",
                "Deployment/cart: the selector matches the pods of Deployment/shipping as well",
            ],
        ),
        (
            &|overlay| {
                overlay.set(
                    "PodDisruptionBudget/redis",
                    "/spec/selector/matchLabels/app.kubernetes.io~1name",
                    json!("valkey"),
                )
            },
            &["PodDisruptionBudget/redis: selects no pods"],
        ),
    ]);
}

#[test]
fn autoscalers_can_scale_what_they_name() {
    find(&[
        (
            &|overlay| overlay.set("HorizontalPodAutoscaler/cart", "/spec/scaleTargetRef/name", json!("carts")),
            &["HorizontalPodAutoscaler/cart: its target Deployment/carts is not there"],
        ),
        (
            &|overlay| overlay.set("HorizontalPodAutoscaler/cart", "/spec/minReplicas", json!(20)),
            &["HorizontalPodAutoscaler/cart: minReplicas 20 is above maxReplicas"],
        ),
        (
            &|overlay| overlay.set("Deployment/cart", "/spec/replicas", json!(3)),
            &["Deployment/cart: has `replicas`, which HorizontalPodAutoscaler/cart decides about"],
        ),
        (
            &|overlay| overlay.unset("Deployment/cart", "/spec/template/spec/containers/0/resources/requests/cpu"),
            &[
                "Deployment/cart container bodega: has no request for cpu, by which HorizontalPodAutoscaler/cart scales",
                "Deployment/cart container bodega: has no request for cpu",
            ],
        ),
        (
            &|overlay| overlay.set("HorizontalPodAutoscaler/cart", "/spec/scaleTargetRef/name", json!("catalog")),
            &[
                "HorizontalPodAutoscaler/cart: HorizontalPodAutoscaler/catalog scales the same workload",
                "HorizontalPodAutoscaler/catalog: HorizontalPodAutoscaler/cart scales the same workload",
            ],
        ),
    ]);
}

#[test]
fn pods_can_be_replaced_and_evicted_one_by_one() {
    find(&[
        (
            &|overlay| overlay.set("PodDisruptionBudget/cart", "/spec/maxUnavailable", json!(0)),
            &["PodDisruptionBudget/cart: lets no pod of Deployment/cart be evicted while it has 2"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "PodDisruptionBudget/cart",
                    "/spec",
                    json!({"minAvailable": "100%", "selector": {"matchLabels": {"app.kubernetes.io/name": "cart"}}}),
                )
            },
            &["PodDisruptionBudget/cart: lets no pod of Deployment/cart be evicted while it has 2"],
        ),
        (
            &|overlay| overlay.remove("PodDisruptionBudget/cart"),
            &["Deployment/cart: no PodDisruptionBudget keeps its pods from being evicted all at once"],
        ),
        (
            &|overlay| overlay.set("Deployment/cart", "/spec/strategy/rollingUpdate/maxUnavailable", json!(1)),
            &["Deployment/cart: a rollout may take a pod away before its successor is ready"],
        ),
        (
            &|overlay| {
                overlay.set("Deployment/catalog", "/spec/template/spec/terminationGracePeriodSeconds", json!(60))
            },
            &[
                "Deployment/catalog container bodega: is killed after 60000 ms, but may take 15000 + 300000 + 10000 ms to end",
            ],
        ),
    ]);
}
