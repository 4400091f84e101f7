//! What the services of a shop have in common: their domain types and their manners over HTTP.
//! Pure code; it names no store, no clock but the system's, and no host.

mod conditions;
mod customer_group;
pub mod email;
mod idempotency;
mod ids;
mod money;
mod page;
mod problem;
mod sku;
mod slug;
mod time;

pub use conditions::{Precondition, PreconditionError, not_modified};
pub use customer_group::{CUSTOMER_GROUP_CHARS_MAX, CustomerGroup, CustomerGroupError};
pub use idempotency::{IDEMPOTENCY_KEY_BYTES_MAX, IdempotencyKey, fingerprint};
pub use ids::Id;
pub use money::{AMOUNT_MAX, Currency, CurrencyError, Money, MoneyError, parse_currency};
pub use page::{Cursor, CursorError, Limit};
pub use problem::{Problem, TYPE_PREFIX, method_not_allowed, not_found};
pub use sku::{QUANTITY_MAX, Quantity, QuantityError, SKU_BYTES_MAX, Sku, SkuError};
pub use slug::{SLUG_CHARS_MAX, Slug, SlugError};
pub use time::{parse_rfc3339, rfc3339, unix_ms, unix_s};
