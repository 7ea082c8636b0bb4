package catalog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/forewarm/forewarm/cluster"
)

// units of memory that a file may use. Powers of two only: whether "MB" means 1,000,000 or 1,048,576 bytes
// depends on whom one asks.
var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", cluster.MiB}, {"GiB", cluster.GiB}}

// parseSize reads a size such as 128MiB or 1.5GiB into bytes.
func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		return scale(s, strings.TrimSpace(digits), u.bytes)
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	if !isDecimal(digits) {
		return 0, fmt.Errorf("%s is not a size: write a number and KiB, MiB or GiB, such as 128MiB", quote(s))
	}
	if digits == s {
		return 0, fmt.Errorf("%s has no unit: write %sMiB for mebibytes (KiB, MiB and GiB are known)", quote(s), s)
	}
	return 0, fmt.Errorf("the unit of %s is not known: write KiB, MiB or GiB, such as %s%s", quote(s), digits, closestUnit(s[len(digits):]))
}

// scale gives digits x unit; s is what was written.
func scale(s, digits string, unit int64) (int64, error) {
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !isDecimal(digits) {
		return 0, fmt.Errorf("%s is not a size: write a number and KiB, MiB or GiB, such as 128MiB", quote(s))
	}
	b := v * float64(unit)
	if b >= 1<<62 {
		return 0, fmt.Errorf("%s is more than can be counted: write at most %s", quote(s), formatSize(MaxMemory))
	}
	if b != float64(int64(b)) {
		return 0, fmt.Errorf("%s is not a whole number of bytes: write it with a smaller unit, such as %s",
			quote(s), formatSize(int64(b)/cluster.MiB*cluster.MiB+cluster.MiB))
	}
	return int64(b), nil
}

// isDecimal holds back what ParseFloat reads besides plain numbers: inf, 0x1p4, 1e9, signs.
func isDecimal(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Trim(s, ".") != ""
}

// closestUnit is the unit that somebody who wrote "M", "mb" or "gi" meant.
func closestUnit(written string) string {
	written = strings.TrimSpace(written)
	for _, u := range units {
		if strings.EqualFold(written[:min(1, len(written))], u.suffix[:1]) {
			return u.suffix
		}
	}
	return "MiB"
}

// formatSize writes bytes as parseSize reads them.
func formatSize(b int64) string {
	for i := len(units) - 1; i >= 0; i-- {
		if u := units[i]; b >= u.bytes && b%u.bytes == 0 {
			return strconv.FormatInt(b/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(b, 10) + " bytes"
}

// parseTimeout reads a duration such as 30s or 1m30s.
func parseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case isDecimal(s):
		return 0, fmt.Errorf("%s has no unit: write %ss for seconds (ms, s and m are known)", quote(s), s)
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration: write a number and ms, s or m, such as 30s or 1m30s", quote(s))
	case d%time.Millisecond != 0:
		return 0, fmt.Errorf("%s is not a whole number of milliseconds, in which a timeout is counted: write %v",
			quote(s), d.Truncate(time.Millisecond)+time.Millisecond)
	}
	return d, nil
}

// quote makes a value fit for one line of a message.
func quote(s string) string {
	const most = 40 // bytes; enough to find it in the file
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
