// Package dist holds the counting distributions that gonum lacks: quantiles of
// the Poisson, and the negative binomial with a real shape.
//
// Both count what an uncertain request rate brings: a known rate gives Poisson
// counts, a gamma-distributed one gives negative binomial counts. Everything is
// a value and a pure function of it. Probabilities stay accurate far into the
// tails and for means of millions, because they start from a saddle-point
// probability and never from differences of large log-gammas.
package dist
