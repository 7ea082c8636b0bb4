package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cronField is one of the five fields of an expression, as robfig/cron's standard parser reads them.
type cronField struct {
	what        string
	least, most int
	names       []string // of least, least+1, ...
}

func cronFields() []cronField {
	return []cronField{
		{"minute", 0, 59, nil},
		{"hour", 0, 23, nil},
		{"day of the month", 1, 31, nil},
		{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{"day of the week", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// cronWords stand for whole expressions. There is no @every: it has no beginning, so that a restart would move it.
func cronWords() []string {
	return []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}
}

// checkCron says what is wrong with an expression. It is here, and not left to the parser that works windows out, so
// that a configuration can be refused with words that help, by a package that depends on no clockwork.
func checkCron(expr string) error {
	if strings.HasPrefix(expr, "@") {
		if !slices.Contains(cronWords(), expr) {
			return fmt.Errorf("%s is not known: write one of %s, or five fields such as %q", quote(expr), strings.Join(cronWords(), ", "), "0 8 * * mon-fri")
		}
		return nil
	}
	if strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ=") {
		return fmt.Errorf("%s names a time zone: write it as zone", quote(expr))
	}
	words, fields := strings.Fields(expr), cronFields()
	if len(words) != len(fields) {
		return fmt.Errorf("%s has %d fields: write five: minute, hour, day of the month, month, day of the week, such as %q", quote(expr), len(words), "0 8 * * mon-fri")
	}
	var sets [5][]int
	for i, f := range fields {
		set, err := f.parse(words[i])
		if err != nil {
			return err
		}
		sets[i] = set
	}
	if words[4] == "*" || words[4] == "?" { // with a day of the week given, either day will do
		if first := sets[2][0]; !slices.ContainsFunc(sets[3], func(month int) bool { return first <= longest(month) }) {
			return fmt.Errorf("%s never comes: no month of these has a day %d", quote(expr), first)
		}
	}
	return nil
}

// longest is how many days a month can have.
func longest(month int) int {
	switch month {
	case 2:
		return 29
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// parse reads one field: a list of numbers and ranges with steps. It gives the numbers in ascending order.
func (f cronField) parse(word string) ([]int, error) {
	var set []int
	for part := range strings.SplitSeq(word, ",") {
		from, to, step, err := f.part(part)
		if err != nil {
			return nil, fmt.Errorf("the %s: %w", f.what, err)
		}
		for v := from; v <= to; v += step {
			set = append(set, v)
		}
	}
	slices.Sort(set)
	return set, nil
}

func (f cronField) part(part string) (from, to, step int, err error) {
	span, steps, stepped := strings.Cut(part, "/")
	low, high, ranged := strings.Cut(span, "-")
	from, to, step = f.least, f.most, 1
	if low != "*" && low != "?" || ranged {
		if from, err = f.number(low); err != nil {
			return 0, 0, 0, err
		}
		if ranged {
			to, err = f.number(high)
		} else if !stepped {
			to = from
		}
	}
	if stepped && err == nil {
		if step, err = strconv.Atoi(steps); err != nil || step < 1 || step > f.most {
			err = fmt.Errorf("%s is not a step: write 1 to %d", quote(steps), f.most)
		}
	}
	if err == nil && from > to {
		err = fmt.Errorf("%s runs backwards: write the lower number first", quote(span))
	}
	return from, to, step, err
}

func (f cronField) number(s string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(s)); i >= 0 {
		return f.least + i, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.least || n > f.most {
		or := ""
		if f.names != nil {
			or = ", or " + f.names[0] + " to " + f.names[len(f.names)-1]
		}
		return 0, fmt.Errorf("%s is not one: write %d to %d%s", quote(s), f.least, f.most, or)
	}
	return n, nil
}
