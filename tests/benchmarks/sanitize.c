/*
 * The kernel's way to resolve a table's overlaps, written anew: change points sorted by a
 * heap sort (lib/sort.c), the entries that overlap at each point in a list, of which the
 * highest type decides. 7.3 arch/x86/kernel/e820.c e820__update_table().
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

struct point {
	uint64_t addr;
	const struct entry *entry;
};

typedef int (*compare_fn)(const void *, const void *);

static int compare_points(const void *left, const void *right)
{
	const struct point *a = *(const struct point *const *)left;
	const struct point *b = *(const struct point *const *)right;

	if (a->addr != b->addr)
		return a->addr > b->addr ? 1 : -1;
	/* Starts before ends. */
	return (a->addr != a->entry->addr) - (b->addr != b->entry->addr);
}

static int compare_numbers(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void sift_down(uint64_t *items, size_t at, size_t count, compare_fn compare)
{
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && compare(&items[child], &items[child + 1]) < 0)
			child++;
		if (compare(&items[at], &items[child]) >= 0)
			return;
		uint64_t held = items[at];
		items[at] = items[child];
		items[child] = held;
	}
}

static void heap_sort(uint64_t *items, size_t count, compare_fn compare)
{
	for (size_t at = count / 2; at-- > 0;)
		sift_down(items, at, count, compare);
	for (size_t last = count; last-- > 1;) {
		uint64_t held = items[0];
		items[0] = items[last];
		items[last] = held;
		sift_down(items, 0, last, compare);
	}
}

void sort_numbers(uint64_t *numbers, size_t count)
{
	heap_sort(numbers, count, compare_numbers);
}

/* Returns how many entries it wrote to out, which has room for 2 * count; 0 without memory. */
size_t sanitize(const struct entry *table, size_t count, struct entry *out)
{
	struct point *points = malloc(2 * count * sizeof(*points));
	uint64_t *order = malloc(2 * count * sizeof(*order));
	const struct entry **overlapping = malloc(count * sizeof(*overlapping));
	size_t nr_points = 0, nr_overlapping = 0, written = 0;
	uint32_t last_type = 0;
	uint64_t last_addr = 0;

	if (!points || !order || !overlapping)
		goto out;
	for (size_t at = 0; at < count; at++) {
		if (!table[at].size)
			continue;
		points[nr_points] = (struct point){ table[at].addr, &table[at] };
		order[nr_points] = (uintptr_t)&points[nr_points];
		nr_points++;
		points[nr_points] =
			(struct point){ table[at].addr + table[at].size, &table[at] };
		order[nr_points] = (uintptr_t)&points[nr_points];
		nr_points++;
	}
	heap_sort(order, nr_points, compare_points);
	for (size_t at = 0; at < nr_points; at++) {
		const struct point *point = (const struct point *)(uintptr_t)order[at];
		uint32_t type = 0;

		if (point->addr == point->entry->addr) {
			overlapping[nr_overlapping++] = point->entry;
		} else {
			for (size_t i = 0; i < nr_overlapping; i++)
				if (overlapping[i] == point->entry)
					overlapping[i] = overlapping[nr_overlapping - 1];
			nr_overlapping--;
		}
		for (size_t i = 0; i < nr_overlapping; i++)
			if (overlapping[i]->type > type)
				type = overlapping[i]->type;
		if (type == last_type)
			continue;
		if (last_type) {
			out[written].size = point->addr - last_addr;
			if (out[written].size)
				written++;
		}
		if (type) {
			out[written].addr = point->addr;
			out[written].type = type;
			last_addr = point->addr;
		}
		last_type = type;
	}
out:
	free(points);
	free(order);
	free(overlapping);
	return written;
}
