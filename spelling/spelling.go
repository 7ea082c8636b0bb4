// Package spelling guesses which word was meant, for errors that name the fix.
package spelling

import "strings"

// maxWord bounds the words that are compared: nobody mistypes a longer one, and the comparison is quadratic.
const maxWord = 128

// Nearest finds the word that was probably meant: the one with the fewest edits, as long as they are few against
// its length, or else the one that continues or is continued by what was written ("mem" for "memory").
func Nearest(written string, words []string) (string, bool) {
	if len(written) > maxWord {
		return "", false
	}
	lower := strings.ToLower(written)
	best, bestEdits := "", 1<<30
	for _, w := range words {
		lw := strings.ToLower(w)
		edits := distance(lower, lw)
		allowed := (max(len(lower), len(lw)) + 1) / 4 // none in 2 letters, 1 in 3..6, 2 in 7..10
		if edits > allowed && !continues(lower, lw) {
			continue
		}
		if edits < bestEdits {
			best, bestEdits = w, edits
		}
	}
	return best, best != ""
}

// continues reports whether one word is the beginning of the other, and long enough to mean something.
func continues(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return len(a) >= 3 && strings.HasPrefix(b, a)
}

// distance counts the letters to add, drop, change, or swap with their neighbour to make b of a
// (optimal string alignment: Boytsov, ACM JEA 16, 2011, section 2.2).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
