// Package sim runs the dispatcher's core and a planner, unchanged, against modelled machines in virtual time.
//
// A World plays the shell: it blocks no one and waits for nothing, but carries out every order of the core on a
// cluster/model after modelled times, runs calls on the containers that they are given, returns them, reads the
// nodes each second, and calls the core and the planner at the instants that they name. Not one rule of
// scheduling is written down here, so what a simulation shows is what the live scheduler does.
//
// One seed gives one result, to the last digit. Whatever is counted for the score is counted here, beside the core's
// own books, and Check compares the two.
package sim
