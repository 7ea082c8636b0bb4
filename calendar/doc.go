// Package calendar says when a function is to have how many containers at least and at most, by windows that people
// write down: a cron expression at which a window opens, how long it stays open, and in which time zone it is read.
//
// A Calendar keeps no state: what holds at a moment follows from the windows and the moment alone, so that nothing has
// to be stored and a restart changes nothing. Times are handed in; nothing here reads the clock.
//
// A window opens whenever the clock on the wall shows a time that its expression names, and then stays open for its
// duration in real time, whatever clocks do meanwhile. So, when the hour changes:
//   - A time that does not exist, as 2:30 on the night when 2:00 becomes 3:00, opens the window at the moment of the
//     change. Times that fall on the same moment open it once.
//   - A time that exists twice opens the window twice.
//
// Either way containers are there at least when the expression says so. Expressions are those of cron (five fields:
// minute, hour, day of month, month, day of week; names such as mon-fri; when both days are given, either will do),
// or @hourly, @daily, @weekly, @monthly, @yearly.
package calendar
