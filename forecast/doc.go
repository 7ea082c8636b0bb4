// Package forecast predicts at what rate a function's requests will arrive, and
// how many containers that rate is worth.
//
// A rate model is told what was seen, as counts over spans of any length, and
// answers with a Rate: not a number but a distribution, because a function with
// two calls an hour is known less well than one with two thousand, and the
// planner weighs idle containers against cold starts with exactly that doubt.
// Silence is cheap: a model takes a silent hour in one call and ends where a
// thousand short ones would have led it (PGMix very nearly so), which is why a
// function without calls costs its caller nothing until it is called again.
//
// Nothing here reads the clock, logs, draws random numbers or starts goroutines;
// the caller owns all four and serialises the calls to one model. Models hold no
// pointers: a copy of one is an independent model, and they may lie in a slab.
package forecast
