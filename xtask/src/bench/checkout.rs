//! Checkouts through the whole shop: how many a second, how long they take, and on what.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::checkout_steps::{Checkout, STEPS};
use crate::counts::Counts;
use crate::report::{Section, Table};
use crate::shop::Shop;
use crate::shoppers::{Bought, Shoppers, Times};
use crate::statistics::median;
use crate::{Bench, Stocked};

const CLIENTS: [usize; 3] = [1, 16, 64];
/// Clients with which the steps are looked at, as the columns name them, and how many checkouts.
const STEP_CLIENTS: [usize; 2] = [1, 16];
const STEP_CHECKOUTS: usize = 480;
/// Checkouts before those, in which instances and statements come to be.
const STEP_WARM_UP: usize = 64;
/// Units at hand of each SKU that is bought; of all together, far more than a run buys.
const STOCK_MIN: u64 = 100;
/// The components that have a part in a checkout, each with a store of its own.
const COMPONENTS: [&str; 5] = ["orders", "cart", "catalog", "shipping", "payments"];

/// Measures the checkouts of a shop, and holds its books against each other in the end.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let shop = bench.shop("checkout")?;
    shop.copy_catalogue(&stocked.shop)?;
    let rows = rates(bench, stocked, &shop)?;
    let steps = steps(bench, stocked)?;
    Ok(Section {
        title: "Checkout",
        about: format!(
            "Guests who fill a cart, ask for a shipping quote and check out, over and over, in a shop with {} products. \
             All stores are durable (synchronous=FULL), and the test provider takes the payment in the shop itself.\n\
             An order counts when it is answered as paid; the whole purchase is four requests: make a cart, add a line, \
             quote the shipping, `POST /api/checkout`.\n\
             The clients (reqwest on one thread, a kept connection each) share the cores with the host. \
             `bodega verify` found nothing after it.",
            stocked.catalogue.products.len()
        ),
        table: Table {
            columns: vec![
                "clients",
                "checkouts/s",
                "checkout p50, ms",
                "p99, ms",
                "whole purchase p50, ms",
                "p99, ms",
                "CPU time of the host for it, ms",
            ],
            rows,
        },
        details: vec![
            (
                format!(
                    "Where the time of a checkout goes: {STEP_CHECKOUTS} checkouts of carts that were filled before, by \
                     the host's access log. The share is that of the time of all checkouts together."
                ),
                steps.times,
            ),
            (
                "What one checkout asks of each component, by the host's metrics; and the transactions that its store \
                 commits, each with a sync of the disk, which checkouts at the same time share."
                    .to_owned(),
                steps.work,
            ),
        ],
        bars: Vec::new(),
    })
}

/// The figures with each number of clients.
fn rates(bench: &Bench, stocked: &Stocked, shop: &Shop) -> Result<Vec<Vec<String>>> {
    let (server, _) = shop.start()?;
    let shoppers = Shoppers::new(server.url(""), skus(stocked))?;
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let buy = |duration| shoppers.buy(clients, duration).with_context(|| server.last_words());
        buy(bench.warm_up)?;
        let before = server.cpu_time()?;
        let rounds: Vec<Bought> = (0..bench.rounds).map(|_| buy(bench.round)).collect::<Result<_>>()?;
        let used = server.cpu_time()?.since(before);
        let count: usize = rounds.iter().map(|round| round.count).sum();
        let of = |figure: fn(&Bought) -> f64| format!("{:.1}", median(rounds.iter().map(figure)));
        rows.push(vec![
            clients.to_string(),
            of(|round| round.per_s),
            of(|round| round.checkout.p50_ms),
            of(|round| round.checkout.p99_ms),
            of(|round| round.whole.p50_ms),
            of(|round| round.whole.p99_ms),
            format!("{:.1}", (used.user_s + used.system_s) * 1e3 / count as f64),
        ]);
    }
    shop.verify(&server)?;
    server.stop()?;
    Ok(rows)
}

/// Both tables about what a checkout is made of.
struct Steps {
    times: Table,
    work: Table,
}

fn steps(bench: &Bench, stocked: &Stocked) -> Result<Steps> {
    let shop = bench.shop("checkout-steps")?.with_access_log();
    shop.copy_catalogue(&stocked.shop)?;
    let (server, _) = shop.start()?;
    let shoppers = Shoppers::new(server.url(""), skus(stocked))?;
    let mut counts = Vec::new();
    for clients in STEP_CLIENTS {
        shoppers.check_out(shoppers.fill(STEP_WARM_UP)?, clients)?;
        let carts = shoppers.fill(STEP_CHECKOUTS)?;
        let before = Counts::read(&shop, &server, &COMPONENTS)?;
        shoppers.check_out(carts, clients)?;
        counts.push((before, Counts::read(&shop, &server, &COMPONENTS)?));
    }
    shop.verify(&server)?;
    server.stop()?;
    let checkouts = Checkout::all(&fs::read_to_string(shop.log())?)?;
    let expected = STEP_CLIENTS.len() * (STEP_WARM_UP + STEP_CHECKOUTS);
    ensure!(checkouts.len() == expected, "the log has {} checkouts, {expected} were made", checkouts.len());
    let runs: Vec<&[Checkout]> =
        checkouts.chunks(STEP_WARM_UP + STEP_CHECKOUTS).map(|run| &run[STEP_WARM_UP..]).collect();
    Ok(Steps { times: times(&runs), work: work(&counts) })
}

/// A row for each step, with the figures of each run.
fn times(runs: &[&[Checkout]]) -> Table {
    let mut columns = vec!["step", "component"];
    columns.extend(["1 client: p50, ms", "p99, ms", "share", "16 clients: p50, ms", "p99, ms", "share"]);
    let row = |name: &str, component: &str, time: &dyn Fn(&Checkout) -> Duration| {
        let figures = runs.iter().flat_map(|run| {
            let Times { p50_ms, p99_ms } = Times::of(run.iter().map(time));
            let sum = |time: &dyn Fn(&Checkout) -> Duration| run.iter().map(time).sum::<Duration>().as_secs_f64();
            let share = 100.0 * sum(time) / sum(&|checkout| checkout.whole);
            [format!("{p50_ms:.2}"), format!("{p99_ms:.2}"), format!("{share:.0} %")]
        });
        [name.to_owned(), component.to_owned()].into_iter().chain(figures).collect::<Vec<_>>()
    };
    let steps = STEPS.iter().enumerate();
    let mut rows: Vec<_> =
        steps.map(|(place, step)| row(step.name, step.component, &|checkout| checkout.steps[place])).collect();
    rows.push(row("work of its own: journal, price, answer", "orders", &Checkout::own));
    rows.push(row("all", "", &|checkout| checkout.whole));
    Table { columns, rows }
}

/// A row for each component, and one for all.
fn work(counts: &[(Counts, Counts)]) -> Table {
    let columns =
        vec!["component", "requests", "store calls", "time in them, ms", "commits, 1 client", "commits, 16 clients"];
    let mut all = [0.0; 5];
    let mut rows = Vec::new();
    for component in COMPONENTS {
        let works: Vec<_> = counts.iter().map(|(before, after)| after.since(before, component)).collect();
        let [alone, crowded] = works.as_slice() else { continue };
        let figures = [alone.requests, alone.store_calls, alone.store_s * 1e3, alone.commits, crowded.commits];
        let figures = figures.map(|figure| figure / STEP_CHECKOUTS as f64);
        all.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        rows.push(work_row(component, figures));
    }
    rows.push(work_row("all", all));
    Table { columns, rows }
}

fn work_row(name: &str, figures: [f64; 5]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(figures.map(|figure| format!("{figure:.1}"))).collect()
}

/// What shoppers buy: SKUs of which there is enough for a whole run.
pub(crate) fn skus(stocked: &Stocked) -> Vec<String> {
    let variants = stocked.catalogue.products.iter().flat_map(|product| &product.variants);
    variants.filter(|variant| variant.stock >= STOCK_MIN).map(|variant| variant.sku.clone()).collect()
}
