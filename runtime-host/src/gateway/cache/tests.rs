//! The cache as a whole, beside a simple model that knows the true time and what was purged.

use std::collections::BTreeMap;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// The key of a path.
pub(super) fn key(path: &str) -> Key {
    ask(path, &HeaderMap::new(), CacheRule::default()).key
}

fn ask(path: &str, request: &HeaderMap, rule: CacheRule) -> Ask {
    let (mut parts, ()) = http::Request::get(path).body(()).unwrap().into_parts();
    parts.headers = request.clone();
    let authority = Authority::from_static("shop.example");
    Ask::new(&parts, &Asked::by_anybody(&authority), rule).unwrap()
}

/// What the service says about an answer.
#[derive(Debug, Clone, Copy)]
struct Said {
    cache_control: &'static str,
    /// For how long it may be used without asking, in seconds.
    lifetime_s: u64,
    varies: bool,
    body_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A request of one of three URLs in one of two languages.
    Ask {
        url: usize,
        language: usize,
    },
    /// The service answers what was asked for first.
    Answer(Said),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// Somebody sets the clock on the wall, by so many seconds.
    Set(i64),
    PurgeTag(usize),
    PurgeUrl(usize),
    PurgeAll,
}

fn said() -> impl Strategy<Value = Said> {
    let kinds =
        [("max-age=60", 60), ("s-maxage=5, max-age=60", 5), ("private, max-age=60", 0), ("no-store", 0), ("", 10)];
    let kinds = proptest::sample::select(kinds.to_vec());
    (kinds, any::<bool>(), 0..3_000_usize).prop_map(|((cache_control, lifetime_s), varies, body_bytes)| Said {
        cache_control,
        lifetime_s,
        varies,
        body_bytes,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..2_usize).prop_map(|(url, language)| Step::Ask { url, language }),
        8 => said().prop_map(Step::Answer),
        4 => (0..20_000_u64).prop_map(Step::Pass),
        1 => (-100_000..100_000_i64).prop_map(Step::Set),
        1 => (0..3_usize).prop_map(Step::PurgeTag),
        1 => (0..3_usize).prop_map(Step::PurgeUrl),
        1 => Just(Step::PurgeAll),
    ]
}

/// An answer as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    url: usize,
    language: usize,
    said: Said,
    received: Duration,
    is_purged: bool,
}

/// A fetch that is not answered yet.
struct Open {
    number: usize,
    ask: Ask,
    request: HeaderMap,
    lead: Lead,
    requested: Moment,
}

const URLS: [&str; 3] = ["/a", "/b", "/b?c"];
const TAGS: [&str; 3] = ["tag-a", "tag-b", "tag-c"];
const LANGUAGES: [&str; 2] = ["de", "en"];
/// Room for about ten answers.
const BYTES_MAX: u64 = 32 << 10;

struct World {
    cache: Cache,
    now: Moment,
    known: BTreeMap<usize, Known>,
    open: Vec<Open>,
    hits: usize,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Ask { url, language } => self.ask(url, language),
            Step::Answer(said) => self.answer(said),
            Step::Pass(ms) => {
                self.now.steady += Duration::from_millis(ms);
                self.now.wall += Duration::from_millis(ms);
            }
            Step::Set(seconds) => {
                let wall_s = self.now.wall.as_secs().saturating_add_signed(seconds);
                self.now.wall = Duration::from_secs(wall_s);
            }
            Step::PurgeTag(tag) => {
                self.cache.purge_tags(TAGS[tag]);
                self.purged(Purged::Tag(TAGS[tag]));
            }
            Step::PurgeUrl(url) => {
                self.cache.purge_url(URLS[url]);
                self.purged(Purged::Url(URLS[url]));
            }
            Step::PurgeAll => {
                self.cache.purge_all();
                self.known.values_mut().for_each(|known| known.is_purged = true);
            }
        }
        assert!(self.cache.bytes() <= BYTES_MAX, "{} bytes", self.cache.bytes());
    }

    fn purged(&mut self, purged: Purged<'_>) {
        let slot = |purged| self.cache.purges.slot(purged);
        // Two of them may have one slot.
        let concerns = |url: usize| [Purged::Tag(TAGS[url]), Purged::Url(URLS[url])].map(slot).contains(&slot(purged));
        self.known.values_mut().filter(|known| concerns(known.url)).for_each(|known| known.is_purged = true);
    }

    fn ask(&mut self, url: usize, language: usize) {
        let request = HeaderMap::from_iter([(http::header::ACCEPT_LANGUAGE, LANGUAGES[language].parse().unwrap())]);
        let rule = CacheRule { ttl: Some(Duration::from_secs(10)), ..CacheRule::default() };
        let ask = ask(URLS[url], &request, rule);
        let found = self.cache.find(&ask, &request).filter(|found| found.reuse(&ask, self.now) == Use::Fresh);
        if let Some(found) = found {
            self.hits += 1;
            let answer = found.answer(&ask, &HeaderMap::new(), Told::Hit, self.now);
            let number: usize = answer.headers()["x-number"].to_str().unwrap().parse().unwrap();
            let known = &self.known[&number];
            assert!(!known.is_purged, "what was purged, or asked for before, is not used: {known:?}");
            assert_eq!(known.url, url);
            assert!(!known.said.varies || known.language == language, "{known:?} for {language}");
            let age = self.now.steady - known.received;
            assert!(age < Duration::from_secs(known.said.lifetime_s), "{known:?} is {age:?} old");
            assert_eq!(answer.body().len(), known.said.body_bytes);
            return;
        }
        let number = self.known.len();
        let said = Said { cache_control: "", lifetime_s: 0, varies: false, body_bytes: 0 };
        let known = Known { url, language, said, received: Duration::ZERO, is_purged: false };
        self.known.insert(number, known);
        let lead = self.cache.alone(&ask);
        self.open.push(Open { number, ask, request, lead, requested: self.now });
    }

    fn answer(&mut self, said: Said) {
        if self.open.is_empty() {
            return;
        }
        let Open { number, ask, request, lead, requested } = self.open.remove(0);
        let Some(known) = self.known.get_mut(&number) else { return };
        (known.said, known.received) = (said, self.now.steady);
        let mut headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-number"), number.into()),
            (SURROGATE_KEY, TAGS[known.url].parse().unwrap()),
        ]);
        if !said.cache_control.is_empty() {
            headers.insert(http::header::CACHE_CONTROL, said.cache_control.parse().unwrap());
        }
        if said.varies {
            headers.insert(http::header::VARY, "accept-language".parse().unwrap());
        }
        let fetched = Fetched { asked_after: lead.asked_after, requested, received: self.now };
        let draft = self.cache.draft(&ask, &request, (StatusCode::OK, &headers), fetched);
        assert_eq!(draft.is_some(), said.lifetime_s > 0, "{said:?}");
        let Some(draft) = draft else { return self.cache.give_up(&ask, lead, self.now) };
        let stored = draft.with_body(&vec![b'x'; said.body_bytes]).unwrap();
        let fits = stored.bytes() as u64 <= self.cache.settings().entry_bytes_max;
        self.cache.keep(&ask, &request, Arc::new(stored), lead, self.now);
        let found = self.cache.find(&ask, &request);
        let found = found.map(|found| found.answer(&ask, &HeaderMap::new(), Told::Hit, self.now).headers().clone());
        let is_found = found.is_some_and(|headers| headers["x-number"] == HeaderValue::from(number));
        assert_eq!(is_found, fits && !self.known[&number].is_purged, "{:?}", self.known[&number]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However clocks jump and whatever is purged meanwhile, nothing is used that is too old, purged, or for somebody else, and
    /// the memory keeps its bound; and what may be stored is there at once. A failure prints its steps and its seed.
    #[test]
    fn nothing_is_used_that_must_not_be(steps in prop::collection::vec(step(), 1..120)) {
        let cache = Cache::new(CacheSettings { bytes_max: BYTES_MAX, entry_bytes_max: 2 << 10 });
        let now = Moment { steady: Duration::ZERO, wall: Duration::from_secs(1_700_000_000) };
        let mut world = World { cache, now, known: BTreeMap::new(), open: Vec::new(), hits: 0 };
        steps.into_iter().for_each(|step| world.step(step));
    }
}

#[test]
fn the_model_sees_hits() {
    let cache = Cache::new(CacheSettings { bytes_max: BYTES_MAX, entry_bytes_max: 2 << 10 });
    let now = Moment { steady: Duration::ZERO, wall: Duration::ZERO };
    let mut world = World { cache, now, known: BTreeMap::new(), open: Vec::new(), hits: 0 };
    let said = Said { cache_control: "max-age=60", lifetime_s: 60, varies: true, body_bytes: 5 };
    for step in
        [Step::Ask { url: 0, language: 1 }, Step::Answer(said), Step::Pass(59_999), Step::Ask { url: 0, language: 1 }]
    {
        world.step(step);
    }
    assert_eq!(world.hits, 1);
    world.step(Step::Ask { url: 0, language: 0 });
    world.step(Step::Pass(1));
    world.step(Step::Ask { url: 0, language: 1 });
    assert_eq!(world.hits, 1);
}

#[tokio::test]
async fn what_is_stale_as_soon_as_it_is_there_is_not_waited_for() {
    for (age_s, is_shared) in [(0, true), (59, true), (60, false)] {
        let cache = Cache::new(CacheSettings::default());
        let request = HeaderMap::new();
        let ask = ask("/a", &request, CacheRule::default());
        let now = Moment { steady: Duration::from_secs(1), wall: Duration::ZERO };
        let Boarding::Lead(lead) = cache.board(&ask, &request, now) else { panic!("it is to lead") };
        let Boarding::Wait(waiting) = cache.board(&ask, &request, now) else { panic!("it is to wait") };
        let headers = HeaderMap::from_iter([
            (http::header::CACHE_CONTROL, "max-age=60".parse().unwrap()),
            (http::header::AGE, age_s.into()),
        ]);
        let fetched = Fetched { asked_after: lead.asked_after, requested: now, received: now };
        let draft = cache.draft(&ask, &request, (StatusCode::OK, &headers), fetched).unwrap();
        cache.keep(&ask, &request, Arc::new(draft.with_body(b"").unwrap()), lead, now);
        let landing = waiting.landing().await;
        assert_eq!(matches!(landing, Landing::Stored(_)), is_shared, "{age_s}: {landing:?}");
        assert!(is_shared || matches!(landing, Landing::Unshared), "{landing:?}");
    }
}

#[test]
fn a_purge_of_something_else_keeps_nobody_from_waiting() {
    let cache = Cache::new(CacheSettings::default());
    let (request, now) = (HeaderMap::new(), Moment { steady: Duration::from_secs(1), wall: Duration::ZERO });
    let ask = ask("/a", &request, CacheRule::default());
    let is_to_wait = || matches!(cache.board(&ask, &request, now), Boarding::Wait(_));
    let unknown = cache.board(&ask, &request, now);
    cache.purge_tags("b");
    let Boarding::Lead(lead) = cache.board(&ask, &request, now) else {
        panic!("what an answer is made of that nobody has seen is not known")
    };
    drop(unknown);
    let headers = HeaderMap::from_iter([
        (http::header::CACHE_CONTROL, "max-age=60".parse().unwrap()),
        (SURROGATE_KEY, "a".parse().unwrap()),
    ]);
    let fetched = Fetched { asked_after: lead.asked_after, requested: now, received: now };
    let draft = cache.draft(&ask, &request, (StatusCode::OK, &headers), fetched).unwrap();
    cache.keep(&ask, &request, Arc::new(draft.with_body(b"").unwrap()), lead, now);
    cache.purge_tags("a");
    let _lead = cache.board(&ask, &request, now);
    cache.purge_tags("b");
    cache.purge_url("/b");
    assert!(is_to_wait());
    let purges: [&dyn Fn(); 3] = [&|| cache.purge_tags("a"), &|| cache.purge_url("/a"), &|| cache.purge_all()];
    for purge in purges {
        purge();
        let _lead = match cache.board(&ask, &request, now) {
            Boarding::Lead(lead) => lead,
            Boarding::Wait(_) => panic!("nobody waits for what was asked for before"),
        };
        assert!(is_to_wait());
    }
}

#[test]
fn what_others_cannot_have_is_not_waited_for_until_it_is_stored_again() {
    let cache = Cache::new(CacheSettings::default());
    let request = HeaderMap::new();
    let ask = ask("/a", &request, CacheRule::default());
    let now = Moment { steady: Duration::from_secs(1), wall: Duration::ZERO };
    let later = |seconds| Moment { steady: now.steady + Duration::from_secs(seconds), ..now };
    let board = |now| cache.board(&ask, &request, now);
    let lead = |boarding| match boarding {
        Boarding::Lead(lead) => lead,
        Boarding::Wait(_) => panic!("it is to lead"),
    };
    let first = lead(board(now));
    assert!(matches!(board(now), Boarding::Wait(_)));
    cache.give_up(&ask, first, now);
    let (_one, _other) = (lead(board(later(1))), lead(board(later(1))));
    let headers = HeaderMap::from_iter([(http::header::CACHE_CONTROL, "max-age=60".parse().unwrap())]);
    let third = lead(board(later(2)));
    let fetched = Fetched { asked_after: third.asked_after, requested: now, received: now };
    let draft = cache.draft(&ask, &request, (StatusCode::OK, &headers), fetched).unwrap();
    cache.keep(&ask, &request, Arc::new(draft.with_body(b"").unwrap()), third, later(2));
    let _leads = lead(board(later(3)));
    assert!(matches!(board(later(3)), Boarding::Wait(_)));
}
