/* SPDX-License-Identifier: CC0-1.0
 *
 * Hold an implementation of the e820 overlap rules to the conformance corpus.
 *
 *	cc -std=c11 -o reader reader.c
 *	./reader cases-*.jsonl outcomes-*.jsonl
 *
 * Reads the cases and what kernels made of them (specs/corpus.md), gives each raw table
 * to sanitize(), and compares what comes back with the first map that each kernel
 * printed. Nothing but the C library is needed. Your own implementation takes the place
 * of the example below:
 *
 *	cc -std=c11 -DE820_SANITIZE=my_sanitize -o reader reader.c mine.c
 *
 * Status: 0 all agree, 1 some do not, 2 bad usage or bad input.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
	uint64_t addr; /* bytes */
	uint64_t size; /* bytes */
	uint32_t type;
};

/* The hook. Takes a table of nr rows as a loader wrote it, in any order; writes the
 * resolved map to out, which has place for room rows, and returns its length. -1: the
 * table is refused and stays as it is. */
#ifndef E820_SANITIZE
#define E820_SANITIZE example_sanitize
#endif
long E820_SANITIZE(const struct row *in, size_t nr, struct row *out, size_t room);

enum { ZERO_PAGE_ROWS = 128, MAX_ROWS = 4096, MAX_DEPTH = 16 };

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "reader: %s: %s\n", what, detail);
	exit(2);
}

static void *allocate(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory)
		fail("memory", "none left");
	return memory;
}

/* ---- the example: at every address the highest type wins -------------------------- */

static int by_value(const void *one, const void *two)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)two;

	return (a > b) - (a < b);
}

/* Persistent memory of two kinds is kept apart wherever an entry begins or ends. */
static bool joins_neighbours(uint32_t type)
{
	return type != 12 && type != 0xefffffff;
}

static uint32_t type_between(const struct row *in, size_t nr, uint64_t low, uint64_t high)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < nr; i++) {
		bool covers = in[i].addr <= low && high <= in[i].addr + in[i].size;

		if (in[i].size && covers && in[i].type > highest)
			highest = in[i].type;
	}
	return highest;
}

long example_sanitize(const struct row *in, size_t nr, struct row *out, size_t room);
long example_sanitize(const struct row *in, size_t nr, struct row *out, size_t room)
{
	uint64_t edges[2 * MAX_ROWS];
	size_t nr_edges = 0, made = 0;

	if (nr < 2 || nr > MAX_ROWS)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		uint64_t end = in[i].addr + in[i].size;

		if (end < in[i].addr) /* at or beyond 2^64: all is left as it is */
			return -1;
		if (in[i].size) {
			edges[nr_edges++] = in[i].addr;
			edges[nr_edges++] = end;
		}
	}
	qsort(edges, nr_edges, sizeof(*edges), by_value);
	/* Between two edges nothing begins or ends, so that one type holds there. */
	for (size_t i = 0; i + 1 < nr_edges; i++) {
		uint64_t low = edges[i], high = edges[i + 1];
		struct row *last = made ? &out[made - 1] : NULL;
		uint32_t type;

		if (low == high)
			continue;
		type = type_between(in, nr, low, high);
		if (!type)
			continue;
		if (last && last->type == type && last->addr + last->size == low &&
		    joins_neighbours(type)) {
			last->size += high - low;
		} else if (made < room) {
			out[made++] = (struct row){ .addr = low, .size = high - low, .type = type };
		} else {
			break; /* a full table: what lies above is lost */
		}
	}
	return (long)made;
}

/* ---- just enough JSON ------------------------------------------------------------- */

enum kind { NOTHING, FLAG, NUMBER, TEXT, LIST, OBJECT };

struct value {
	enum kind kind;
	uint64_t number;     /* a NUMBER, or a FLAG as 0 and 1 */
	char *text;          /* a TEXT */
	char *name;          /* as member of an object */
	struct value *first; /* of a LIST or an OBJECT */
	struct value *next;  /* the one behind it there */
};

static void skip_blanks(const char **at)
{
	*at += strspn(*at, " \t\r\n");
}

/* What is compared has no escapes; one is kept as the letter behind the backslash. */
static char *read_text(const char **at)
{
	const char *end = ++*at;
	size_t length = 0;
	char *text;

	while (*end && *end != '"')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	if (!*end)
		fail("JSON", "a string without an end");
	text = allocate((size_t)(end - *at) + 1);
	for (; *at < end; (*at)++) {
		if (**at == '\\')
			(*at)++;
		text[length++] = **at;
	}
	(*at)++;
	return text;
}

static bool read_word(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length))
		return false;
	*at += length;
	return true;
}

/* Only a step is ever below zero: modulo 2^64 it does what it should. */
static uint64_t read_number(const char **at)
{
	uint64_t number = 0;
	bool negative = read_word(at, "-");

	if (**at < '0' || **at > '9')
		fail("JSON: no whole number at", *at);
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		uint64_t digit = (uint64_t)(**at - '0');

		if (number > (UINT64_MAX - digit) / 10)
			fail("JSON", "a number above 2^64 - 1");
		number = number * 10 + digit;
	}
	return negative ? 0 - number : number;
}

static struct value *read_value(const char **at, int depth);

static void read_items(struct value *whole, const char **at, char close, int depth)
{
	struct value **tail = &whole->first;

	if (depth > MAX_DEPTH)
		fail("JSON", "nested too deeply");
	(*at)++;
	for (skip_blanks(at); **at != close; skip_blanks(at)) {
		char *name = NULL;

		if (whole->first && !read_word(at, ","))
			fail("JSON: no comma at", *at);
		skip_blanks(at);
		if (close == '}') {
			if (**at != '"')
				fail("JSON: no name at", *at);
			name = read_text(at);
			skip_blanks(at);
			if (!read_word(at, ":"))
				fail("JSON: no colon at", *at);
		}
		*tail = read_value(at, depth);
		(*tail)->name = name;
		tail = &(*tail)->next;
	}
	(*at)++;
}

static struct value *read_value(const char **at, int depth)
{
	struct value *value = allocate(sizeof(*value));

	skip_blanks(at);
	if (**at == '[' || **at == '{') {
		value->kind = **at == '[' ? LIST : OBJECT;
		read_items(value, at, **at == '[' ? ']' : '}', depth + 1);
	} else if (**at == '"') {
		value->kind = TEXT;
		value->text = read_text(at);
	} else if (read_word(at, "null")) {
		value->kind = NOTHING;
	} else if (read_word(at, "true")) {
		value->kind = FLAG;
		value->number = 1;
	} else if (read_word(at, "false")) {
		value->kind = FLAG;
	} else {
		value->kind = NUMBER;
		value->number = read_number(at);
	}
	return value;
}

static void release(struct value *value)
{
	while (value) {
		struct value *next = value->next;

		release(value->first);
		free(value->text);
		free(value->name);
		free(value);
		value = next;
	}
}

static const struct value *member(const struct value *object, const char *name)
{
	const struct value *one = object ? object->first : NULL;

	while (one && (!one->name || strcmp(one->name, name)))
		one = one->next;
	return one;
}

static uint64_t number_of(const struct value *object, const char *name, uint64_t otherwise)
{
	const struct value *one = member(object, name);

	return one && one->kind == NUMBER ? one->number : otherwise;
}

static const char *text_of(const struct value *object, const char *name)
{
	const struct value *one = member(object, name);

	return one && one->kind == TEXT ? one->text : "";
}

/* ---- the corpus ------------------------------------------------------------------- */

struct table {
	size_t nr;
	struct row rows[MAX_ROWS];
};

struct test_case {
	char *id;
	bool odd; /* more entries counted than the zero page has, or bytes patched */
	struct table table;
	struct test_case *next;
};

struct kernel {
	char *release;
	unsigned compared, agree;
	struct kernel *next;
};

static struct test_case *cases;
static struct kernel *kernels;
static unsigned without_map, fallback, messages_lost, odd_cases, unknown_cases;
static bool verbose;

static char *copy_of(const char *text)
{
	return strcpy(allocate(strlen(text) + 1), text);
}

static void add_row(struct table *table, const struct value *row, uint64_t shift)
{
	const struct value *addr = row->first;
	const struct value *size = addr ? addr->next : NULL;
	const struct value *type = size ? size->next : NULL;

	if (!type || table->nr == MAX_ROWS)
		fail("corpus", "a row without three numbers, or too many rows");
	table->rows[table->nr++] = (struct row){
		.addr = addr->number + shift,
		.size = size->number,
		.type = (uint32_t)type->number,
	};
}

/* Rows, and objects that stand for repeated ones. */
static void expand(const struct value *items, struct table *table)
{
	const struct value *item, *row;

	table->nr = 0;
	for (item = items ? items->first : NULL; item; item = item->next) {
		uint64_t times = number_of(item, "times", 0);
		uint64_t step = number_of(item, "step", 0);
		const struct value *rows = member(item, "rows");

		if (item->kind == LIST)
			add_row(table, item, 0);
		for (uint64_t n = 0; item->kind == OBJECT && n < times; n++)
			for (row = rows ? rows->first : NULL; row; row = row->next)
				add_row(table, row, n * step);
	}
}

static void keep_case(const struct value *record)
{
	struct test_case *one = allocate(sizeof(*one));
	uint64_t count;

	one->id = copy_of(text_of(record, "id"));
	expand(member(record, "e820"), &one->table);
	count = number_of(record, "count", one->table.nr);
	one->odd = count > one->table.nr || count > ZERO_PAGE_ROWS || member(record, "patches");
	if (!one->odd)
		one->table.nr = (size_t)count;
	one->next = cases;
	cases = one;
}

static const struct test_case *case_named(const char *id)
{
	const struct test_case *one = cases;

	while (one && strcmp(one->id, id))
		one = one->next;
	return one;
}

static struct kernel *kernel_named(const char *name)
{
	struct kernel **at = &kernels;

	while (*at && strcmp((*at)->release, name))
		at = &(*at)->next;
	if (!*at) {
		*at = allocate(sizeof(**at));
		(*at)->release = copy_of(name);
	}
	return *at;
}

static bool is_before(const char *kernel_release, unsigned major, unsigned minor)
{
	unsigned first = 0, second = 0;

	if (sscanf(kernel_release, "%u.%u", &first, &second) != 2)
		fail("corpus: no release", kernel_release);
	return first < major || (first == major && second < minor);
}

/* Up to 6.14 type 128 is printed as usable. */
static uint32_t printed_type(uint32_t type, const char *kernel_release)
{
	return type == 128 && is_before(kernel_release, 6, 15) ? 1 : type;
}

static bool joins(uint32_t type, const char *kernel_release)
{
	return (type == 0xefffffff && is_before(kernel_release, 5, 5)) ||
	       (type == 12 && is_before(kernel_release, 4, 1));
}

/* Up to 5.4 type 0xefffffff is a type like any other, whose neighbours are joined, and up
 * to 4.0 type 12. Up to 4.11 a table is resolved in the zero page, which holds 128 rows:
 * the rest is lost. */
static void as_older_kernels_do(struct table *table, const char *kernel_release)
{
	size_t nr = 0;

	for (size_t i = 0; i < table->nr; i++) {
		const struct row *one = &table->rows[i];
		struct row *last = nr ? &table->rows[nr - 1] : NULL;

		if (last && joins(one->type, kernel_release) && last->type == one->type &&
		    last->addr + last->size == one->addr)
			last->size += one->size;
		else
			table->rows[nr++] = *one;
	}
	if (is_before(kernel_release, 4, 12) && nr > ZERO_PAGE_ROWS)
		nr = ZERO_PAGE_ROWS;
	table->nr = nr;
}

static bool same(const struct table *ours, const struct table *seen, const char *release_name)
{
	if (ours->nr != seen->nr)
		return false;
	for (size_t i = 0; i < ours->nr; i++) {
		const struct row *one = &ours->rows[i], *two = &seen->rows[i];

		if (one->addr != two->addr || one->size != two->size ||
		    printed_type(one->type, release_name) != two->type)
			return false;
	}
	return true;
}

static const struct value *map_at(const struct value *maps, uint64_t place)
{
	const struct value *map = maps ? maps->first : NULL;

	while (map && place--)
		map = map->next;
	return map;
}

static void compare(const struct test_case *one, const struct value *outcome,
		    const struct value *maps)
{
	static struct table ours, seen;
	const struct value *place = member(outcome, "bios_map");
	struct kernel *kernel = kernel_named(outcome->name);
	long made;

	if (!place)
		without_map++;
	else if (number_of(outcome, "lost_messages", 0))
		messages_lost++;
	else if (strcmp(text_of(outcome, "map_source"), "BIOS-e820"))
		fallback++; /* the kernel threw the whole table away before this rule */
	else if (one->odd)
		odd_cases++;
	else {
		expand(map_at(maps, place->number), &seen);
		made = E820_SANITIZE(one->table.rows, one->table.nr, ours.rows, MAX_ROWS);
		ours.nr = made < 0 ? 0 : (size_t)made;
		if (made < 0)
			ours = one->table;
		if (made >= 0)
			as_older_kernels_do(&ours, outcome->name);
		kernel->compared++;
		if (same(&ours, &seen, outcome->name))
			kernel->agree++;
		else if (verbose)
			printf("%s on %s: %zu rows, the kernel has %zu\n", one->id,
			       outcome->name, ours.nr, seen.nr);
	}
}

static void compare_all(const struct value *record)
{
	const struct test_case *one = case_named(text_of(record, "case"));
	const struct value *booted = member(record, "kernels");
	const struct value *outcome = booted ? booted->first : NULL;

	for (; outcome; outcome = outcome->next) {
		if (one)
			compare(one, outcome, member(record, "maps"));
		else
			unknown_cases++;
	}
}

/* The whole of the next line, NULL at the end; the buffer is kept for the one after. */
static const char *next_line(FILE *file, char **buffer, size_t *room)
{
	size_t length = 0;
	int letter;

	while ((letter = fgetc(file)) != EOF && letter != '\n') {
		if (length + 2 > *room) {
			*room = *room ? 2 * *room : 1 << 16;
			*buffer = realloc(*buffer, *room);
			if (!*buffer)
				fail("memory", "none left");
		}
		(*buffer)[length++] = (char)letter;
	}
	if (letter == EOF && !length)
		return NULL;
	if (!length)
		return "";
	(*buffer)[length] = '\0';
	return *buffer;
}

static void read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *buffer = NULL;
	size_t room = 0;
	const char *line;

	if (!file)
		fail("cannot read", path);
	while ((line = next_line(file, &buffer, &room))) {
		struct value *record;

		if (!*line)
			continue;
		record = read_value(&line, 0);
		if (member(record, "e820"))
			keep_case(record);
		else if (member(record, "case"))
			compare_all(record);
		release(record);
	}
	free(buffer);
	if (ferror(file))
		fail("cannot read", path);
	fclose(file);
}

int main(int argc, char **argv)
{
	unsigned compared = 0, agree = 0;
	int first = 1;

	if (argc > 1 && !strcmp(argv[1], "-v")) {
		verbose = true;
		first = 2;
	}
	if (argc <= first)
		fail("usage", "reader [-v] cases-*.jsonl outcomes-*.jsonl");
	for (int i = first; i < argc; i++)
		read_file(argv[i]);
	printf("kernel   tables  agree\n");
	for (const struct kernel *one = kernels; one; one = one->next) {
		printf("%-8s %6u %6u\n", one->release, one->compared, one->agree);
		compared += one->compared;
		agree += one->agree;
	}
	printf("%-8s %6u %6u\n", "all", compared, agree);
	printf("not compared: %u without a map, %u with messages lost, %u where the kernel "
	       "fell back to another map, %u with a count or bytes that are no table, "
	       "%u of unknown cases\n",
	       without_map, messages_lost, fallback, odd_cases, unknown_cases);
	if (!compared)
		fail("corpus", "nothing to compare: name the cases before the outcomes");
	return agree == compared ? 0 : 1;
}
