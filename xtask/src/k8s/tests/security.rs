//! Pods that may do too much.

use serde_json::json;

use super::find;

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

#[test]
fn pods_are_restricted() {
    find(&[
        (
            &|overlay| overlay.set("Deployment/cart", &format!("{POD}/securityContext/runAsUser"), json!(0)),
            &["Deployment/cart container bodega: may run as root"],
        ),
        (
            &|overlay| overlay.unset("Deployment/cart", &format!("{POD}/securityContext/seccompProfile")),
            &["Deployment/cart container bodega: has no seccomp profile"],
        ),
        (
            &|overlay| {
                overlay.unset("Deployment/cart", &format!("{CONTAINER}/securityContext/allowPrivilegeEscalation"))
            },
            &["Deployment/cart container bodega: may get more privileges"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    &format!("{CONTAINER}/securityContext/capabilities/add"),
                    json!(["NET_RAW"]),
                )
            },
            &["Deployment/cart container bodega: has capabilities"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    &format!("{CONTAINER}/securityContext/readOnlyRootFilesystem"),
                    json!(false),
                )
            },
            &["Deployment/cart container bodega: may write to its root file system"],
        ),
        (
            &|overlay| overlay.unset("Deployment/cart", &format!("{POD}/automountServiceAccountToken")),
            &["Deployment/cart: does not say `automountServiceAccountToken: false`"],
        ),
        (
            &|overlay| overlay.set("Deployment/cart", &format!("{POD}/hostNetwork"), json!(true)),
            &["Deployment/cart: has `hostNetwork`"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    &format!("{POD}/volumes/2"),
                    json!({"name": "state", "hostPath": {"path": "/"}}),
                )
            },
            &["Deployment/cart: the volume \"state\" is of the kind hostPath"],
        ),
        (
            &|overlay| overlay.unset("Namespace/bodega", "/metadata/labels/pod-security.kubernetes.io~1enforce"),
            &["Namespace/bodega: enforces the Pod Security level \"privileged\""],
        ),
    ]);
}

#[test]
fn images_and_resources_are_bounded() {
    find(&[
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    &format!("{CONTAINER}/image"),
                    json!("ghcr.io/bodega-shop/bodega:latest"),
                )
            },
            &["Deployment/cart container bodega: the image \"ghcr.io/bodega-shop/bodega:latest\" has the tag `latest`"],
        ),
        (
            &|overlay| {
                overlay.set(
                    "Deployment/cart",
                    "/spec/template/metadata/annotations/bodega.dev~1application",
                    json!("ghcr.io/bodega-shop/shop"),
                )
            },
            &["Deployment/cart: the image \"ghcr.io/bodega-shop/shop\" has no tag"],
        ),
        (
            &|overlay| overlay.unset("StatefulSet/redis", &format!("{CONTAINER}/resources/limits/memory")),
            &["StatefulSet/redis container redis: has no limit for memory"],
        ),
        (
            &|overlay| overlay.unset("StatefulSet/redis", &format!("{CONTAINER}/resources/requests")),
            &[
                "StatefulSet/redis container redis: has no request for cpu",
                "StatefulSet/redis container redis: has no request for memory",
            ],
        ),
        (
            &|overlay| overlay.set("Deployment/auth", &format!("{CONTAINER}/resources/limits/memory"), json!("512Mi")),
            &[
                "Deployment/auth container bodega: its memory limit is 536870912 bytes, less than its request and the 536870912 bytes of its instances",
            ],
        ),
    ]);
}
