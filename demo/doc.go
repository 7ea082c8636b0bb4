// Package demo shows what forecasts are worth: two embedded clusters of real
// processes get the same calls at the same time. One starts containers ahead by
// the laws of idle gaps, the other keeps them for kappa plus a start after their
// last use, which is the best rule that does not learn. Everything else is the
// same in both.
package demo
