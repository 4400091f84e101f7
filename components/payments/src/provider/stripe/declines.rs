//! Why a bank said no, in words for the shopper.
//!
//! Banks tell the shop more than the shopper may know: that a card was stolen reads like any other refusal.

use crate::failure::Failure;

/// The failure for one of Stripe's decline codes or error codes.
pub(super) fn failure(code: &str) -> Failure {
    match code {
        "insufficient_funds" => Failure::insufficient_funds(),
        "expired_card" | "invalid_expiry_month" | "invalid_expiry_year" => {
            Failure::new("expired_card", "The card has expired, or its date is wrong. Use another one.")
        }
        "incorrect_cvc" | "invalid_cvc" => {
            Failure::new("incorrect_cvc", "The security code is wrong. Enter the card again.")
        }
        "incorrect_number" | "invalid_number" | "invalid_account" | "incorrect_zip" | "incorrect_address" => {
            Failure::invalid_payment_method()
        }
        "authentication_required" | "payment_intent_authentication_failure" | "authentication_not_handled" => {
            Failure::authentication_failed()
        }
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => {
            Failure::new("limit_exceeded", "The card's limit is reached. Use another one.")
        }
        "card_not_supported" | "currency_not_supported" => {
            Failure::new("card_not_supported", "The card does not allow this purchase. Use another one.")
        }
        "processing_error" | "issuer_not_available" | "reenter_transaction" | "try_again_later" => {
            Failure::new("try_again", "Your bank could not be reached. Try again in a moment.")
        }
        _ => Failure::declined(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shopper_must_not_know_reads_like_any_refusal() {
        for code in
            ["lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist", "generic_decline", ""]
        {
            assert_eq!(failure(code), Failure::declined(), "{code}");
        }
    }

    #[test]
    fn what_a_shopper_can_mend_is_named() {
        for (code, named) in [
            ("insufficient_funds", "insufficient_funds"),
            ("invalid_cvc", "incorrect_cvc"),
            ("expired_card", "expired_card"),
            ("authentication_required", "authentication_failed"),
            ("try_again_later", "try_again"),
        ] {
            assert_eq!(failure(code).code, named);
        }
    }
}
