//! Who asks about an order, and whether it is theirs. An order of somebody else is one that is not there.

use axum::http::{HeaderMap, header};
use commerce::Id;
use identity::{IdentityError, Role, guest};
use service::{Access, Error};

use crate::app::App;
use crate::number::Number;
use crate::order::{Actor, Order};
use crate::state::Side;
use crate::store::orders::{self, Key};

/// Who asks: an account, or who has the token of an order, or both.
pub(crate) struct Caller {
    account: Option<Account>,
    token: Option<String>,
}

struct Account {
    subject: String,
    is_staff: bool,
}

impl Caller {
    /// Reads who asks. Who shows nothing is nobody.
    pub(crate) async fn from_headers(access: &Access, headers: &HeaderMap) -> Result<Self, IdentityError> {
        let token = headers.get(guest::ORDER_TOKEN_HEADER).and_then(|token| token.to_str().ok()).map(str::to_owned);
        let account = match headers.contains_key(header::AUTHORIZATION) || token.is_none() {
            true => {
                let principal = access.principal(headers).await?;
                let is_staff = principal.require(Role::Staff).is_ok();
                Some(Account { subject: principal.subject().to_owned(), is_staff })
            }
            false => None,
        };
        Ok(Self { account, token })
    }

    pub(crate) fn is_staff(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.is_staff)
    }

    /// The account, if there is one.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.account.as_ref().map(|account| account.subject.as_str())
    }

    /// The order of this id or number, if the caller may see it.
    pub(crate) fn find(&self, app: &App, key: &str) -> Result<Order, Error> {
        let found = match (key.parse::<Id>(), Number::parse(key)) {
            (Ok(id), _) => orders::find(&app.database, Key::Id(id))?,
            (_, Some(number)) => orders::find(&app.database, Key::Number(&number))?,
            _ => None,
        };
        let seen = found.filter(|order| self.is_staff() || self.owns(order));
        seen.ok_or_else(|| Error::NotFound { what: "order", key: key.to_owned() })
    }

    /// On whose behalf something is done with an order that the caller may see.
    pub(crate) fn acts(&self, order: &Order) -> (Side, Actor) {
        match &self.account {
            Some(account) if account.is_staff => (Side::Staff, Actor::Staff(account.subject.clone())),
            Some(account) if self.has_account_of(order) => (Side::Owner, Actor::Customer(account.subject.clone())),
            _ => (Side::Owner, Actor::Guest),
        }
    }

    fn owns(&self, order: &Order) -> bool {
        let has_token = match (&self.token, &order.token_digest) {
            (Some(token), Some(digest)) => guest::fits(token, digest),
            _ => false,
        };
        has_token || self.has_account_of(order)
    }

    fn has_account_of(&self, order: &Order) -> bool {
        order.customer.is_some() && order.customer.as_deref() == self.subject()
    }
}
