//! All that has to hold between the resources of an overlay, and between them and the application.

use crate::application::Application;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::problem::Problems;
use crate::{network, operator, references, scaling, security, services};

/// Finds what is wrong with what an overlay renders to.
pub(crate) fn check(mut objects: Vec<Object>, application: &Application) -> Problems {
    objects.extend(operator::expand(&objects));
    let cluster = Cluster { objects };
    let mut problems = Problems::default();
    references::check(&cluster, &mut problems);
    operator::check(&cluster, &mut problems);
    services::deployed(&cluster, application, &mut problems);
    if problems.0.is_empty() {
        // These go by what resources name, and would only find what follows from a name that is not there.
        scaling::check(&cluster, &mut problems);
        security::check(&cluster, &mut problems);
        services::check(&cluster, application, &mut problems);
        network::check(&cluster, application, &mut problems);
    }
    problems
}
