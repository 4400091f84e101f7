//! The life of a host: load, take over if there is whom from, serve, drain.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;

use super::Up;
use crate::admin::{self, Admin};
use crate::app::{App, Worker, schedule};
use crate::cli::advice::about_address;
use crate::cli::application::{Described, Loaded};
use crate::cli::transfer;
use crate::generated;
use crate::listener::{Drain, Listener, drain_on_signals};
use crate::service_manager::{self, PassedSockets};
use crate::state_dir::RunningHost;
use crate::stores::{Others, Stores};
use crate::telemetry::spans;
use crate::upgrade::former;
use crate::upgrade::new::FormerEnd;
use crate::upgrade::{Former, Upgrader};

/// How often expired key-value entries are removed.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

impl Up {
    pub(super) async fn serve(
        self,
        described: Described,
        passed: PassedSockets,
        mut former: Option<&mut Former>,
    ) -> anyhow::Result<()> {
        let state = self.application.state_dir.open(&described.config)?;
        let lock = former.as_mut().and_then(|former| former.take_lock());
        let workers = self.listener_config().workers;
        let Loaded { app, stores, telemetry } =
            self.application.load(&described, &state, state.path(), workers, lock).await?;

        let mut complaints = Vec::new();
        let application = &described.manifest.application;
        let environment = |name: &str| std::env::var(name).ok();
        let traces =
            spans::settings::Settings::read(&application.name, &application.version, environment, &mut complaints);
        complaints.iter().for_each(|complaint| tracing::warn!("{complaint}"));
        if let Some(settings) = traces {
            app.export_spans(settings);
        }

        let drain = drain_on_signals(telemetry.health.clone(), self.readiness_delay())?;
        let listener = Listener::bind(self.listener_config(), passed.public).await;
        let listener = listener.map_err(|error| about_address(error, "--listen"))?;
        let admin = Admin::bind(self.admin_listen, self.admin_tls(), passed.admin).await;
        let admin = admin.map_err(|error| about_address(error, "--admin-listen"))?;
        let token = self.admin_token(&state)?;
        let upgrade_token = generated::upgrade_token(&state)?;

        let former: Option<&Former> = former.as_deref();
        let handover = match former {
            Some(former) => Some(former.ready().await?),
            None => None,
        };
        app.take_up().await?;
        let former_end = handover.as_ref().map(|(_, end)| end.clone());
        if let Some((handover, end)) = handover {
            app.audit(admin::upgrade::action(handover.who, handover.why, "ok")).await;
            tokio::spawn(outlive(end, stores.clone(), app.clone()));
        } else {
            app.has_no_former().await;
        }
        let scheme_of = |is_tls| if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
        let scheme = scheme_of(self.tls_cert.is_some());
        let host = RunningHost {
            pid: std::process::id(),
            url: format!("{scheme}://{}", listener.local_addr()),
            admin_url: format!("{}://{}", scheme_of(self.admin_tls_cert.is_some()), admin.local_addr()),
        };
        app.listens_on(scheme, listener.local_addr().to_string().parse()?);
        state.announce(&host)?;

        let (turn, chores) = schedule::Turn::new(chores_of(former_end.clone()));
        let upgrader = Upgrader::new(former::Parts {
            app: app.clone(),
            stores: stores.clone(),
            public: listener.socket(),
            admin: admin.socket(),
            drain: drain.clone(),
            former: former_end,
            chores,
        });
        let routes = admin::backup::add(admin::routes(&telemetry), &token, stores.clone(), &app);
        let routes = admin::control::add(routes, &token, &app);
        let routes = admin::gateway::add(routes, &token, &app);
        let routes = admin::upgrade::add(routes, &upgrade_token, &upgrader, &app);
        let admin = tokio::spawn(admin.run(routes, drain.clone()));
        let open_connections = listener.open_connections();
        telemetry.metrics.gauge("bodega_connections_open", "Open connections of the public listener.", move || {
            open_connections.count() as u64
        });
        let connections_max = self.listener_config().connections_max as u64;
        telemetry
            .metrics
            .gauge("bodega_connections_max", "Connections that may be open at once.", move || connections_max);
        let disk = tokio::spawn(telemetry.clone().watch_disk(state.path().to_owned(), stores.files()));
        let sweeper = tokio::spawn(sweep(stores.clone()));
        let gateway = tokio::spawn(keep_gateway_up(app.clone()));
        println!("listening on {}", host.url);
        println!("admin on {}", host.admin_url);
        tokio::spawn(tell_of_end(drain.clone()));
        let wants_demo = self.demo && former.is_none();
        let demo =
            wants_demo.then(|| tokio::spawn(transfer::load_demo(described.manifest, host.url.clone(), state.clone())));

        // Given away with the schedules, so that only they hold it.
        let turn = std::sync::Mutex::new(Some(turn));
        let make_handler = {
            let (app, drain) = (app.clone(), drain.clone());
            move |index| {
                let worker = Worker::new(app.clone(), index);
                if index == 0
                    && let Some(turn) = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
                {
                    schedule::start(&worker, &drain, &turn);
                }
                worker
            }
        };
        let on_serving = || {
            telemetry.health.ready();
            if let Some(former) = former {
                former.serving();
            }
            app.serves();
            service_manager::notify_ready();
        };
        let drained = listener.run(make_handler, drain.clone(), on_serving).await?;
        for task in [Some(sweeper), Some(disk), Some(gateway), demo].into_iter().flatten() {
            task.abort();
        }
        tokio::join!(app.all_told(), app.spans_sent());
        stores.close(if drain.is_handed_over() { Others::GoOn } else { Others::None }).await;
        drain.end();
        // It ended with the drain; a panic of it is logged and hurts nothing any more.
        let _ = admin.await;
        if !drain.is_handed_over() {
            state.withdraw();
        }
        if drained.connections_cut > 0 {
            tracing::warn!("{} connections were cut because they did not finish in time", drained.connections_cut);
        }
        Ok(())
    }
}

/// When scheduled runs may begin here.
async fn chores_of(former: Option<FormerEnd>) {
    if let Some(former) = former {
        former.chores_done().await;
    }
}

/// Does what has to wait for the end of the process that this one took over from.
async fn outlive(former: FormerEnd, stores: Stores, app: Arc<App>) {
    let backups = stores.hold_backups().await;
    former.gone().await;
    drop(backups);
    // What it has changed since this one began to store answers was purged in its memory only.
    app.forget_cached();
    app.has_no_former().await;
    tracing::info!("the process before this one has ended");
}

async fn tell_of_end(drain: Drain) {
    drain.begun().await;
    if !drain.is_handed_over() {
        service_manager::notify_stopping();
    }
}

async fn keep_gateway_up(app: Arc<App>) {
    let Err(error) = app.gateway.keep_up().await;
    tracing::error!("changes of the gateway's configuration are not seen: {error}");
}

async fn sweep(stores: Stores) {
    loop {
        tokio::time::sleep(SWEEP_PERIOD).await;
        stores.sweep_expired().await;
    }
}
