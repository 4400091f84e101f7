//! What is named and is not there.

use serde_json::json;

use super::find;

const CONTAINER: &str = "/spec/template/spec/containers/0";

#[test]
fn what_pods_name_has_to_be_there() {
    find(&[
        (
            &|overlay| overlay.remove("Secret/bodega-redis"),
            &["StatefulSet/redis container redis: there is no Secret \"bodega-redis\""],
        ),
        (
            &|overlay| overlay.unset("Secret/bodega-secrets", "/stringData/ORDERS_TOKEN_SECRET"),
            &["Deployment/orders container bodega: the Secret \"bodega-secrets\" has no key \"ORDERS_TOKEN_SECRET\""],
        ),
        (
            &|overlay| {
                overlay.set("Deployment/edge", "/spec/template/spec/volumes/2/configMap/name", json!("bodega-egde"))
            },
            &["Deployment/edge: there is no ConfigMap \"bodega-egde\""],
        ),
        (&|overlay| overlay.remove("ServiceAccount/cart"), &["Deployment/cart: there is no ServiceAccount \"cart\""]),
        (
            &|overlay| overlay.remove("PriorityClass/bodega-chore"),
            &[
                "CronJob/backup: there is no PriorityClass \"bodega-chore\"",
                "CronJob/restore: there is no PriorityClass \"bodega-chore\"",
            ],
        ),
        (
            &|overlay| overlay.remove("PersistentVolumeClaim/backups"),
            &[
                "StatefulSet/stores: there is no PersistentVolumeClaim \"backups\"",
                "CronJob/backup: there is no PersistentVolumeClaim \"backups\"",
                "CronJob/restore: there is no PersistentVolumeClaim \"backups\"",
            ],
        ),
        (
            &|overlay| overlay.set("StatefulSet/stores", "/spec/volumeClaimTemplates/0/metadata/name", json!("data")),
            &[
                "StatefulSet/stores container bodega: there is no volume \"state\"",
                "CronJob/restore: there is no PersistentVolumeClaim \"state-stores-0\"",
            ],
        ),
        (
            &|overlay| overlay.remove("Role/bodega-operator"),
            &["RoleBinding/bodega-operator: there is no Role \"bodega-operator\""],
        ),
        (
            &|overlay| overlay.set("Deployment/cart", &format!("{CONTAINER}/volumeMounts/0/name"), json!("gatewys")),
            &[
                "Deployment/cart: no container mounts the volume \"gateways\"",
                "Deployment/cart container bodega: there is no volume \"gatewys\"",
            ],
        ),
        (
            &|overlay| overlay.set("Service/cart", "/metadata/namespace", json!("default")),
            &["Service/cart: there is no Namespace \"default\""],
        ),
    ]);
}

#[test]
fn services_and_ports_have_to_be_there() {
    find(&[
        (
            &|overlay| overlay.set("Service/cart", "/spec/ports/1/targetPort", json!("metrics")),
            &["Service/cart: the pods of Deployment/cart have no port \"metrics\""],
        ),
        (
            &|overlay| overlay.set("Service/cart-pods", "/spec/ports/0/port", json!(80)),
            &["Service/cart-pods: is headless, so its port is 8080 like that of the pods"],
        ),
        (
            &|overlay| {
                overlay.set("Ingress/shop", "/spec/rules/0/http/paths/0/backend/service/port/name", json!("web"))
            },
            &["Ingress/shop: the Service \"edge\" has no port \"web\""],
        ),
        (
            &|overlay| overlay.set("Service/stores", "/spec/selector/app.kubernetes.io~1name", json!("store")),
            &["Service/stores: selects no pods"],
        ),
        (
            &|overlay| overlay.set(&overlay.variables(), "/data/CATALOG_URL", json!("http://catalogue")),
            &[
                "Deployment/cart container bodega: {{ catalog_url }} of component cart: there is no Service \"catalogue\"",
                "Deployment/orders container bodega: {{ catalog_url }} of component orders: there is no Service \"catalogue\"",
            ],
        ),
        (
            &|overlay| overlay.unset(&overlay.variables(), "/data/ORDERS_URL"),
            &[
                "Deployment/payments container bodega: {{ orders_url }} of component payments is \
                 \"http://orders.spin.internal\", which is not in its process",
                "Deployment/shipping container bodega: {{ orders_url }} of component shipping is \
                 \"http://orders.spin.internal\", which is not in its process",
            ],
        ),
    ]);
}
