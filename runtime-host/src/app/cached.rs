//! Answers from the gateway's cache: what is stored, what another request has just fetched, or what the component says.
//!
//! The decisions are those of `gateway::cache`; here is who asks whom, and who waits.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty, Full};
use wasmtime_wasi_http::WasiBody;

use super::choice::COOKIE_NAME;
use super::preview::{self, PREVIEW};
use super::purging::invalidate;
use super::renewal::read_on;
use super::report::{Answered, Fallback};
use super::worker::{Arrival, Worker, authority};
use crate::cookie;
use crate::gateway::cache::{
    Ask, Asked, Boarding, CACHE_STATUS, Cache, Fetched, Landing, Lead, Moment, OF_BODY, Ready, Recorded, Recording,
    Resumed, Stored, Told, Use, is_not_modified,
};
use crate::gateway::{Passage, Target};
use crate::problem::Problem;
use crate::telemetry::metrics::CacheOutcome;
use crate::telemetry::request_context::RequestContext;

/// How often a request waits for others before it goes on its own.
const WAITS_MAX: usize = 3;

/// What a request got, and how.
pub(super) type Found<'w> = (Response<WasiBody>, Answered<'w>, CacheOutcome);

/// One request that the cache works on.
#[derive(Clone)]
pub(super) struct Visit<'p> {
    pub(super) passage: &'p Passage,
    pub(super) cache: Arc<Cache>,
    pub(super) ask: Ask,
    /// The request without its body.
    pub(super) parts: Parts,
    pub(super) scheme: Scheme,
    pub(super) client: HeaderValue,
}

impl Worker {
    /// Answers a request from the cache if its rule says so, or has it answered by whose route it is for.
    pub(super) async fn answer_cached(
        self: &Arc<Self>,
        passage: &mut Passage,
        arrival: Arrival,
        context: &mut Arc<RequestContext>,
    ) -> (Response<WasiBody>, Answered<'_>) {
        let Some((cache, rule)) = passage.cache() else { return self.forward(passage, arrival, context).await };
        if !arrival.request.method().is_safe() {
            let (parts, body) = arrival.request.into_parts();
            let (own, uri) = (authority(&parts), parts.uri.clone());
            let arrival = Arrival { request: Request::from_parts(parts, body), ..arrival };
            let answered = self.forward(passage, arrival, context).await;
            invalidate(&cache, own.as_ref(), &uri, &answered.0);
            return answered;
        }
        let Some(rule) = rule else { return self.forward(passage, arrival, context).await };
        let Arrival { request, scheme, client } = arrival;
        let (mut parts, body) = request.into_parts();
        let authority = self.authority_for_cache(&parts);
        // Decided before it is looked what there is: the sides are a part of the key.
        let new_shopper = authority.as_ref().and_then(|_| self.place_request(context, &parts.headers));
        let ask = authority.as_ref().and_then(|authority| {
            // A name has no line's end in it, and the number has one length, so that no two of these look like two others.
            let target = passage.target().map(ToString::to_string).unwrap_or_default();
            let mut by = [target.as_bytes(), b"\n", &passage.changes().to_be_bytes()].concat();
            by.extend(context.sides().map(|sides| sides.to_bytes()).unwrap_or_default());
            let (is_known, has_body) = (passage.is_of_somebody(), !body.is_end_stream());
            let of_target = match passage.target() {
                Some(Target::Upstream(upstream)) => upstream.cookie_name(),
                _ => None,
            };
            let own_cookies = [COOKIE_NAME, of_target.unwrap_or_default()];
            let has_cookies = cookie::has_others(&own_cookies, &parts.headers);
            let asked = Asked { scheme: &scheme, authority, by: &by, is_known, has_body, has_cookies };
            Ask::new(&parts, &asked, rule)
        });
        let is_https = scheme == Scheme::HTTPS;
        let (mut response, answered, outcome) = match ask {
            None => {
                let arrival = Arrival { request: Request::from_parts(parts, body), scheme, client };
                let (mut response, answered) = self.forward(passage, arrival, context).await;
                tell(&mut response, Told::Forwarded("bypass", None, false));
                (response, answered, CacheOutcome::Pass)
            }
            Some(ask) if !ask.may_be_shared() => {
                let visit = Visit { passage, cache, ask, parts, scheme, client };
                Box::pin(self.answer_unshared(visit, body, context)).await
            }
            Some(ask) => {
                let conditions = take_conditions(&mut parts.headers);
                let visit = Visit { passage, cache, ask, parts, scheme, client };
                Box::pin(self.answer_shared(visit, &conditions, context)).await
            }
        };
        if let Some(shopper) = new_shopper {
            shopper.give(response.headers_mut(), is_https);
        }
        self.app.telemetry.metrics.gateway_cache(outcome);
        passage.cached = Some(outcome);
        (response, answered)
    }

    /// The host that a request asks for; `None` for what is no business of the cache: what is refused, and testers.
    fn authority_for_cache(&self, parts: &Parts) -> Option<http::uri::Authority> {
        let authority = authority(parts)?;
        let is_preview = parts.headers.contains_key(PREVIEW)
            || preview::has_cookie(&parts.headers)
            || self.app.preview_hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.host()));
        (!is_preview).then_some(authority)
    }

    /// Answers a request whose answer is for nobody else, from what is stored as long as that is fresh.
    async fn answer_unshared(
        self: &Arc<Self>,
        visit: Visit<'_>,
        body: WasiBody,
        context: &mut Arc<RequestContext>,
    ) -> Found<'_> {
        let now = Moment::now();
        if let Some(stored) = visit.cache.find(&visit.ask, &visit.parts.headers)
            && matches!(stored.reuse(&visit.ask, now), Use::Fresh | Use::Stale)
        {
            // The body is not read; the connection knows.
            return self.hit(&visit, &stored, &visit.parts.headers, Told::Hit, CacheOutcome::Hit);
        }
        if visit.ask.wanted.only_if_cached {
            return not_cached(context);
        }
        let Visit { passage, parts, scheme, client, .. } = visit;
        let arrival = Arrival { request: Request::from_parts(parts, body), scheme, client };
        let (mut response, answered) = self.forward(passage, arrival, context).await;
        let told = Told::Forwarded("miss", Some(response.status()), false);
        tell(&mut response, told);
        (response, answered, CacheOutcome::Miss)
    }

    /// Answers a request from what is stored, or with what it or another one that asks for the same fetches.
    async fn answer_shared(
        self: &Arc<Self>,
        visit: Visit<'_>,
        conditions: &HeaderMap,
        context: &mut Arc<RequestContext>,
    ) -> Found<'_> {
        let Visit { cache, ask, parts, .. } = &visit;
        for wait in 0.. {
            let now = Moment::now();
            let found = cache.find(ask, &parts.headers);
            let usable = found.as_ref().map(|stored| (stored, stored.reuse(ask, now)));
            match usable {
                Some((stored, Use::Fresh)) => {
                    return self.hit(&visit, stored, conditions, Told::Hit, CacheOutcome::Hit);
                }
                Some((stored, Use::Stale)) => {
                    return self.hit(&visit, stored, conditions, Told::Hit, CacheOutcome::Stale);
                }
                Some((stored, Use::WhileRevalidating)) => {
                    self.renew(&visit, stored.clone(), context);
                    return self.hit(&visit, stored, conditions, Told::Hit, CacheOutcome::Stale);
                }
                Some((_, Use::Revalidate)) | None => {}
            }
            if ask.wanted.only_if_cached {
                return not_cached(context);
            }
            let boarding = match wait < WAITS_MAX {
                true => cache.board(ask, &parts.headers, now),
                false => Boarding::Lead(cache.alone(ask)),
            };
            let waiting = match boarding {
                Boarding::Lead(lead) => return self.fetch(visit, lead, found, conditions, context).await,
                Boarding::Wait(waiting) => waiting,
            };
            let landing = waiting.landing().await;
            let now = Moment::now();
            match landing {
                Landing::Stored(stored) if cache.fits(&stored, ask, &parts.headers, now) => {
                    return self.hit(&visit, &stored, conditions, Told::Collapsed, CacheOutcome::Hit);
                }
                // One of those who waited takes the place of who went away, or asks for a variant of its own.
                Landing::Stored(_) | Landing::Lost => {}
                // Nor does it help a service that fails if all ask it at once.
                Landing::Failed => {
                    if let Some(stored) = found.as_ref().filter(|stored| cache.stands_in(stored, ask, now)) {
                        return self.hit(&visit, stored, conditions, Told::Hit, CacheOutcome::Stale);
                    }
                }
                Landing::Unshared => {
                    let lead = cache.alone(ask);
                    return self.fetch(visit, lead, found, conditions, context).await;
                }
            }
        }
        unreachable!("the last turn leads")
    }

    /// Asks the component, stores what it says if that may be, and tells those who wait.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        visit: Visit<'_>,
        lead: Lead,
        former: Option<Arc<Stored>>,
        conditions: &HeaderMap,
        context: &mut Arc<RequestContext>,
    ) -> Found<'_> {
        let Visit { cache, ask, parts, .. } = &visit;
        let mut conditional = parts.clone();
        let is_conditional =
            former.as_ref().is_some_and(|stored| stored.ask_whether_it_holds(&mut conditional.headers));
        let requested = Moment::now();
        let asked_after = lead.asked_after;
        let fetched = || Fetched { asked_after, requested, received: Moment::now() };
        let (mut response, answered) = self.forward(visit.passage, visit.arrival(conditional), context).await;
        let status = response.status();
        if let Some(former) = &former {
            if is_conditional && status == StatusCode::NOT_MODIFIED {
                return match cache.freshen(former, ask, response.headers(), fetched()) {
                    Some(stored) => {
                        cache.keep(ask, &parts.headers, stored.clone(), lead, Moment::now());
                        let told = Told::Forwarded("stale", Some(status), true);
                        self.hit(&visit, &stored, conditions, told, CacheOutcome::Revalidated)
                    }
                    None => {
                        // It was about another answer than the one that is stored; now without a condition.
                        cache.forget(ask);
                        let requested = Moment::now();
                        let again = visit.arrival(parts.clone());
                        let (again, answered) = self.forward(visit.passage, again, context).await;
                        let fetched = Fetched { asked_after, requested, received: Moment::now() };
                        let again = self.store(&visit, lead, again, fetched, conditions).await;
                        (again, answered, CacheOutcome::Miss)
                    }
                };
            }
            if is_failure(&response) && cache.stands_in(former, ask, Moment::now()) {
                cache.fail(lead);
                let told = Told::Forwarded("stale", Some(status), false);
                return self.hit(&visit, former, conditions, told, CacheOutcome::Stale);
            }
        }
        if is_failure(&response) {
            cache.fail(lead);
            tell(&mut response, Told::Forwarded("miss", Some(status), false));
            return (response, answered, CacheOutcome::Miss);
        }
        let response = self.store(&visit, lead, response, fetched(), conditions).await;
        (response, answered, CacheOutcome::Miss)
    }

    /// Stores an answer if that may be, at once or while its body is passed on, and gives it to the client.
    async fn store(
        &self,
        visit: &Visit<'_>,
        lead: Lead,
        response: Response<WasiBody>,
        fetched: Fetched,
        conditions: &HeaderMap,
    ) -> Response<WasiBody> {
        let Visit { cache, ask, parts, .. } = visit;
        let (mut head, body) = response.into_parts();
        let draft = cache.draft(ask, &parts.headers, (head.status, &head.headers), fetched);
        let forwarded = Told::Forwarded("miss", Some(head.status), draft.is_some());
        head.headers.append(CACHE_STATUS, forwarded.value(None));
        let is_unmodified = head.status == StatusCode::OK && is_not_modified(conditions, &head.headers);
        let Some(draft) = draft else {
            cache.give_up(ask, lead, Moment::now());
            return answer_of(head, body, is_unmodified);
        };
        let begins = lead.begins();
        let (store, asked, request) = (cache.clone(), ask.clone(), parts.headers.clone());
        let end = move |recorded: Recorded| {
            let now = Moment::now();
            match recorded {
                Recorded::Whole(body) => match draft.with_body(&body) {
                    Some(stored) => store.keep(&asked, &request, Arc::new(stored), lead, now),
                    None => store.give_up(&asked, lead, now),
                },
                Recorded::Unfit => store.give_up(&asked, lead, now),
                // Dropped without a word, so that one of those who wait asks.
                Recorded::Abandoned => drop(lead),
            }
        };
        let mut recording = Recording::new(body, cache.body_bytes_max(), end);
        let body = match recording.ready().await {
            Ready::Whole(body) => full(body),
            Ready::Begun(begun) => {
                begins.tell();
                Resumed { begun: begun.into_iter(), rest: recording }.boxed_unsync()
            }
        };
        if is_unmodified && !body.is_end_stream() {
            // The client reads none of it.
            tokio::spawn(read_on(body, cache.body_bytes_max()));
            return answer_of(head, full(Bytes::new()), true);
        }
        answer_of(head, body, is_unmodified)
    }

    /// Gives a stored answer.
    fn hit(
        &self,
        visit: &Visit<'_>,
        stored: &Stored,
        conditions: &HeaderMap,
        told: Told,
        outcome: CacheOutcome,
    ) -> Found<'_> {
        let answer = stored.answer(&visit.ask, conditions, told, Moment::now());
        let route = self.app.router.route(visit.parts.uri.path());
        let route = route.map_or("", |route| route.pattern().as_str());
        (answer.map(full), Answered { route, ..Answered::default() }, outcome)
    }
}

impl Visit<'_> {
    /// The request as it goes on to its route, with these parts.
    fn arrival(&self, parts: Parts) -> Arrival {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Arrival { request: Request::from_parts(parts, body), scheme: self.scheme.clone(), client: self.client.clone() }
    }
}

/// Takes out of a request by what its client has the answer already: the component is asked for all of it.
fn take_conditions(headers: &mut HeaderMap) -> HeaderMap {
    let mut taken = HeaderMap::new();
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
        if let http::header::Entry::Occupied(entry) = headers.entry(&name) {
            entry.remove_entry_mult().1.for_each(|value| {
                taken.append(&name, value);
            });
        }
    }
    taken
}

/// Whether a service failed (RFC 5861, 4), also where something else stands in for its answer.
fn is_failure(response: &Response<WasiBody>) -> bool {
    let failures = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    failures.contains(&response.status()) || response.extensions().get::<Fallback>().is_some()
}

fn not_cached<'w>(context: &RequestContext) -> Found<'w> {
    let mut response = Problem::NotCached.response(context.request_id());
    tell(&mut response, Told::Forwarded("request", None, false));
    (response, Answered::default(), CacheOutcome::Miss)
}

fn tell(response: &mut Response<WasiBody>, told: Told) {
    response.headers_mut().append(CACHE_STATUS, told.value(None));
}

/// The answer with this head, or that the client has it already.
fn answer_of(mut head: http::response::Parts, body: WasiBody, is_unmodified: bool) -> Response<WasiBody> {
    if !is_unmodified {
        return Response::from_parts(head, body);
    }
    head.status = StatusCode::NOT_MODIFIED;
    OF_BODY.iter().for_each(|name| drop(head.headers.remove(name)));
    Response::from_parts(head, full(Bytes::new()))
}

fn full(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
