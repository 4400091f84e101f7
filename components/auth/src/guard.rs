//! Every comparison with a password, and the count of those that failed.

use axum::http::HeaderMap;
use service::Error;
use sql::Transaction;

use crate::account::Account;
use crate::app::App;
use crate::error::Refusal;
use crate::password::{Password, Verdict};
use crate::store::throttle;
use crate::throttle::{Subject, account, address};

/// An attempt that counts as failed until it is known not to be.
pub(crate) struct Attempt {
    account: Subject,
    address: Option<Subject>,
}

impl Attempt {
    /// Counts an attempt at the account of an email key, or refuses it. It is on disk before a password is hashed,
    /// and the same for accounts that do not exist.
    pub(crate) async fn count(app: &App, headers: &HeaderMap, email_key: &str) -> Result<Self, Error> {
        let attempt = Self { account: account(email_key), address: address(headers) };
        let subjects: Vec<Subject> = std::iter::once(&attempt.account).chain(&attempt.address).cloned().collect();
        let transaction = app.database.begin().await?;
        match throttle::attempt(&transaction, &subjects, app.now_ms()).await? {
            0 => transaction.commit().await?,
            wait_ms => return Err(Refusal::TooManyAttempts(wait_ms).into()),
        }
        Ok(attempt)
    }

    /// The password was right: the account starts anew, the address loses this one failure only, or else whoever
    /// has an account of their own could guess at others for ever.
    pub(crate) async fn succeeded(&self, transaction: &Transaction) -> Result<(), Error> {
        throttle::forget(transaction, &self.account).await?;
        match &self.address {
            Some(address) => throttle::take_back(transaction, address).await,
            None => Ok(()),
        }
    }
}

/// A password that was right.
pub(crate) struct Confirmed {
    attempt: Attempt,
    /// The hash that it was held against.
    kept: Option<String>,
    /// A hash to keep in its place, if that one is out of date.
    renewed: Option<String>,
}

impl Confirmed {
    /// Holds a password against that of an account, which need not exist.
    pub(crate) async fn check(
        app: &App,
        headers: &HeaderMap,
        email_key: &str,
        account: Option<&Account>,
        password: &str,
    ) -> Result<Option<Self>, Error> {
        let attempt = Attempt::count(app, headers, email_key).await?;
        let password = Password::given(password);
        let kept = account.and_then(|account| account.password.clone());
        let renewed = match password.verify(kept.as_deref())? {
            Verdict::Wrong => return Ok(None),
            Verdict::Right => None,
            Verdict::RightButStale => Some(password.hash()?),
        };
        Ok(Some(Self { attempt, kept, renewed }))
    }

    /// Takes the count back in the transaction of what the password was given for; false if the account's password
    /// has changed meanwhile.
    pub(crate) async fn settle(&self, transaction: &Transaction, account: &Account) -> Result<bool, Error> {
        if account.password != self.kept {
            return Ok(false);
        }
        self.attempt.succeeded(transaction).await?;
        if let Some(renewed) = &self.renewed {
            crate::store::accounts::set_password(transaction, &account.id, renewed).await?;
        }
        Ok(true)
    }
}
