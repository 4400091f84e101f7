//! `bodega route GET /api/orders/1 -H 'x-kind: a'`: which component would answer a request, and what the gateway would do with it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use http::{Method, Request, Uri};

use super::registry::RegistryArgs;
use super::{ManifestArgs, gateway_file};
use crate::config_file::ConfigError;
use crate::gateway::Configuration;
use crate::manifest::TriggerTarget;
use crate::router::Router;

/// Arguments of `bodega route`.
#[derive(Debug, clap::Args)]
pub(super) struct Route {
    /// The request's method.
    method: Method,
    /// Its path and query, or a whole URL.
    uri: Uri,
    /// A header, `NAME: VALUE`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What the gateway does; by default the `gateway.toml` beside the manifest, if there is one.
    #[arg(long, env = "BODEGA_GATEWAY")]
    gateway: Option<PathBuf>,
}

impl Route {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        // Removed at the end.
        let _pulled = self.registry.pull_aside(&mut self.manifest)?;
        let manifest = self.manifest.load()?;
        let mut request = Request::builder().method(self.method).uri(self.uri);
        for header in &self.header {
            let Some((name, value)) = header.split_once(':') else { bail!("--header {header}: expected NAME: VALUE") };
            request = request.header(name.trim(), value.trim());
        }
        let (request, ()) = request.body(()).context("this is no request")?.into_parts();
        let routes = manifest.triggers.iter().filter_map(|trigger| {
            let target = match &trigger.target {
                TriggerTarget::Component(id) => format!("component {}", id.value),
                TriggerTarget::Static(response) => format!("a fixed response, {}", response.status),
            };
            Some((trigger.route.as_ref()?.value.clone(), target))
        });
        let router = Router::build(routes)?;
        let file = gateway_file(&self.manifest, self.gateway.as_deref());
        let loaded = file.map(|path| Ok::<_, ConfigError>((Configuration::load(&path, &manifest, None, None)?, path)));
        let loaded = loaded.transpose()?;
        let onward = loaded.as_ref().map(|(configuration, _)| configuration.onward(&request));
        let path = onward.as_ref().and_then(|onward| onward.path.as_deref()).unwrap_or(request.uri.path());
        match (router.route(path), onward.as_ref().is_some_and(|onward| onward.is_elsewhere)) {
            (_, true) => println!("no route is asked: the gateway's rule says who answers"),
            (Some(found), _) => println!("route {} -> {}", found.pattern(), found.target),
            (None, _) => println!("no route: the answer is 404"),
        }
        if let Some((configuration, path)) = &loaded {
            println!("gateway {}", path.display());
            for line in configuration.explain(&request) {
                println!("  {line}");
            }
        }
        Ok(())
    }
}
