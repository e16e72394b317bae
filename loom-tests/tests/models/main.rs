//! The models. Each names its invariant, and each fails without any one of the
//! steps that it needs.

mod publication;
