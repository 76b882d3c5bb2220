/*
 * Programs of a guest whose page allocator is measured.
 *
 *   measure churn MIB ROUNDS   areas of anonymous memory, MIB of them at most, come and
 *                              go; prints "ready" and holds a third until it is killed
 *   measure deposit PAGES CALLS PERCENT NODES [WAY ORDER MOST]
 *                              deposit PAGES a call as hv_call_deposit_pages() does,
 *                              at most CALLS times, until so much of the free memory
 *                              is deposited, asking NODES nodes in turn; prints what
 *                              was free before, the blocks of each call, "PFN:ORDER" in
 *                              their order, and the runs of free blocks of 4 MiB
 *                              before, "PFN:BLOCKS". With a WAY the blocks are arenas
 *                              of that order, MOST of them at most, out of which calls
 *                              are served: "ring" by the allocator, "huge" as huge
 *                              pages, "zone" as those of zone Movable alone, "areas"
 *                              as those set aside at boot, all at the first call
 *
 * "deposit" prints "ready" and waits for SIGUSR1: it is started before the guest is aged.
 *
 * User space gets unmovable blocks of an order of its choice as rings of packet
 * sockets (packet(7)): alloc_one_pg_vec_page() in net/packet/af_packet.c asks
 * __get_free_pages() for each block, and where that has none vzalloc() for single
 * pages, which VmallocUsed of /proc/meminfo shows; such a ring is given up. A deposit
 * must allocate its block and nothing else, as a page between two deposits costs two
 * entries. So sockets are open before the guest is aged, each had two rings once and gave
 * them back (what the kernel notes of a ring then has room in slabs that one socket in
 * 24 keeps alive: of objects of 64 bytes a page has 64), and rings are mapped, for the frames, after the last call.
 * Huge pages are asked for at run time: those of 1 GiB come by alloc_contig_pages(), or
 * out of areas that hugetlb_cma= set aside (mm/hugetlb.c).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
#define PAGE_SHIFT 12
#define MIB (1UL << 20)
#define MAX_ORDER 10
#define MAX_BLOCKS 400000
#define ORDER_BITS 5
#define MPOL_PREFERRED 1
#define MAX_SOCKETS 40000
#define KEPT_ALIVE 24
#define PASSING_ORDER 1
#define MAX_AREAS 512
#define MAX_RUNS 8192

/* pagemap(5): bit 63 says present, bits 0 to 54 are the page frame number. */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)

/* /proc/kpageflags, include/uapi/linux/kernel-page-flags.h: a page of a free block. */
#define KPF_BUDDY (1ULL << 10)

static int sockets[MAX_SOCKETS];
static unsigned int nr_sockets, used_rings;
static unsigned char ring_order[2 * MAX_SOCKETS];
/* PFN, or number of a ring from 1 on, with the order in the low bits; 0 ends a call. */
static uint64_t blocks[MAX_BLOCKS];
static unsigned int nr_blocks;
/* Arenas: how they are had, how large, how many there may be, and what of them is left. */
static const char *way = "";
static unsigned long arena_order, most_arenas, nr_arenas, room;
static int pagemap;
static const char *const files[] = { "buddyinfo", "pagetypeinfo", "zoneinfo" };
static char texts[3][1 << 17];
static struct { uint64_t pfn; unsigned int blocks; } runs[MAX_RUNS];
static unsigned int nr_runs;

static int failed(const char *what)
{
	fprintf(stderr, "error %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t draw(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int set_ring(int fd, int which, unsigned int order, unsigned int count)
{
	struct tpacket_req req = {
		.tp_block_size = PAGE_BYTES << order, .tp_block_nr = count,
		.tp_frame_size = PAGE_BYTES << order, .tp_frame_nr = count,
	};

	return setsockopt(fd, SOL_PACKET, which, &req, sizeof(req));
}

/* The first frame of the nr_pages at this place of the mapping; 0 if they do not follow. */
static uint64_t frames_at(const unsigned char *at, unsigned long nr_pages)
{
	static uint64_t entries[1UL << MAX_ORDER];
	size_t size = nr_pages * sizeof(*entries);
	unsigned long n;

	if (pread(pagemap, entries, size, (uintptr_t)at / PAGE_BYTES * 8) != (ssize_t)size)
		return 0;
	for (n = 0; n < nr_pages; n++)
		if (!(entries[n] & PAGEMAP_PRESENT) ||
		    (entries[n] & PAGEMAP_PFN) != (entries[0] & PAGEMAP_PFN) + n)
			return 0;
	return entries[0] & PAGEMAP_PFN;
}

/* Of /proc/meminfo; what its file needs is allocated once. */
static unsigned long pages_of(const char *what)
{
	static char text[4096];
	static int fd = -1;
	char *at;

	if (fd < 0)
		fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	at = strstr(text, what);
	return at ? strtoul(at + strlen(what), NULL, 10) / 4 : 0;
}

/* A number of the ring, from 1 on; 0 if there is no such block. */
static uint64_t block_of(unsigned int order)
{
	int fd = sockets[used_rings / 2];
	int which = used_rings % 2 ? PACKET_TX_RING : PACKET_RX_RING;
	unsigned long before = pages_of("VmallocUsed:");

	if (set_ring(fd, which, order, 1))
		return 0;
	if (pages_of("VmallocUsed:") > before) {
		set_ring(fd, which, 0, 0);
		return 0;
	}
	ring_order[used_rings] = order;
	return ++used_rings;
}

/* The frames of all rings; a socket has two, one after the other in its mapping. */
static int find_frames(void)
{
	static uint64_t frames[2 * MAX_SOCKETS];
	unsigned int ring, n;

	for (ring = 0; ring < used_rings; ring += 2) {
		size_t first = PAGE_BYTES << ring_order[ring], bytes = first;
		unsigned char *at;

		if (ring + 1 < used_rings)
			bytes += PAGE_BYTES << ring_order[ring + 1];
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, sockets[ring / 2],
			  0);
		if (at == MAP_FAILED)
			return -1;
		frames[ring] = frames_at(at, first / PAGE_BYTES);
		if (ring + 1 < used_rings)
			frames[ring + 1] = frames_at(at + first, (bytes - first) / PAGE_BYTES);
		munmap(at, bytes);
	}
	for (n = 0; n < nr_blocks; n++) {
		if (!blocks[n])
			continue;
		ring = (blocks[n] >> ORDER_BITS) - 1;
		if (!frames[ring])
			return -1;
		blocks[n] = frames[ring] << ORDER_BITS | ring_order[ring];
	}
	return 0;
}

static unsigned long count_in(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtoul(text, NULL, 10);
}

/* One huge page more, which stays mapped; 0 if the kernel has none. */
static uint64_t huge_page(unsigned int order)
{
	unsigned long bytes = PAGE_BYTES << order, before;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, fd;
	char path[96], text[32];
	unsigned char *at;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
		 bytes >> 10);
	before = count_in(path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%lu", before + 1);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || count_in(path) <= before) {
		close(fd);
		return 0;
	}
	close(fd);
	flags |= (PAGE_SHIFT + order) << MAP_HUGE_SHIFT;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	return at == MAP_FAILED ? 0 : frames_at(at, 1);
}

/* Zone Movable is the highest. */
static uint64_t movable_start(void)
{
	char *at = strstr(texts[2], " Movable");

	at = at ? strstr(at, "start_pfn:") : NULL;
	return at ? strtoull(at + 10, NULL, 10) : UINT64_MAX;
}

/* The depositor's own bitmap finds room wherever an arena has some. */
static int arena_call(unsigned long pages)
{
	int takes_all = !strcmp(way, "areas");

	while (room < pages || (takes_all && nr_arenas < most_arenas)) {
		uint64_t pfn;

		if ((most_arenas && nr_arenas == most_arenas) || nr_blocks >= MAX_BLOCKS - 2)
			return -1;
		if (!strcmp(way, "ring"))
			pfn = used_rings < 2 * nr_sockets ? block_of(arena_order) : 0;
		else
			pfn = huge_page(arena_order);
		/* While the zones below have some to spare they come before reclaim. */
		while (pfn && !strcmp(way, "zone") && pfn < movable_start())
			pfn = huge_page(arena_order);
		if (!pfn)
			return -1;
		blocks[nr_blocks++] = pfn << ORDER_BITS | arena_order;
		nr_arenas++;
		room += 1UL << arena_order;
	}
	room -= pages;
	blocks[nr_blocks++] = 0;
	return 0;
}

/* As alloc_pages_node() does: that node, or where it has none the nearest. */
static int ask_node(unsigned long node)
{
	unsigned long mask = 1UL << node;

	return syscall(SYS_set_mempolicy, MPOL_PREFERRED, &mask, sizeof(mask) * 8);
}

static int one_call(unsigned long rest)
{
	if (*way)
		return arena_call(rest);
	while (rest) {
		int order = 63 - __builtin_clzl(rest);
		uint64_t pfn;

		if (used_rings >= 2 * nr_sockets || nr_blocks >= MAX_BLOCKS - 2)
			return -1;
		while (!(pfn = block_of(order)))
			if (!order--)
				return -1;
		blocks[nr_blocks++] = pfn << ORDER_BITS | order;
		rest -= 1UL << order;
	}
	blocks[nr_blocks++] = 0;
	return 0;
}

static void look(void)
{
	char path[64];
	unsigned int n;

	for (n = 0; n < 3; n++) {
		size_t have = 0;
		ssize_t got;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s", files[n]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && (got = read(fd, texts[n] + have, sizeof(texts[n]) - have - 1)) > 0)
			have += got;
		close(fd);
	}
}

/* buddyinfo does not say where free blocks lie. */
static void look_at_runs(void)
{
	static uint64_t flags[1UL << MAX_ORDER];
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC), follows = 0;
	uint64_t pfn;
	size_t n;

	for (pfn = 0; pread(fd, flags, sizeof(flags), pfn * 8) == (ssize_t)sizeof(flags);
	     pfn += 1UL << MAX_ORDER) {
		for (n = 0; n < 1UL << MAX_ORDER && flags[n] & KPF_BUDDY; n++)
			;
		if (n < 1UL << MAX_ORDER) {
			follows = 0;
		} else if (follows) {
			runs[nr_runs - 1].blocks++;
		} else if (nr_runs < MAX_RUNS) {
			runs[nr_runs].pfn = pfn;
			runs[nr_runs++].blocks = follows = 1;
		}
	}
	close(fd);
}

static int set_rings(int fd, unsigned int order, unsigned int count)
{
	return set_ring(fd, PACKET_RX_RING, order, count) ||
	       set_ring(fd, PACKET_TX_RING, order, count);
}

static int open_sockets(unsigned long rings)
{
	unsigned int n, kept = 0;

	while (nr_sockets < MAX_SOCKETS && 2 * nr_sockets < rings + rings / KEPT_ALIVE) {
		sockets[nr_sockets] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (sockets[nr_sockets] < 0)
			return -1;
		nr_sockets++;
	}
	/* What is given back is on other lists than what stays, and joins again. */
	for (n = 0; n < nr_sockets; n++)
		if (set_rings(sockets[n], n % KEPT_ALIVE ? PASSING_ORDER : 0, 1))
			return -1;
	for (n = 0; n < nr_sockets; n++) {
		if (n % KEPT_ALIVE && set_rings(sockets[n], 0, 0))
			return -1;
		if (n % KEPT_ALIVE)
			sockets[kept++] = sockets[n];
	}
	nr_sockets = kept;
	return 0;
}

static unsigned long rings_for(unsigned long pages, unsigned long calls, unsigned long target)
{
	if (*way)
		return strcmp(way, "ring") ? 0 : (target >> arena_order) + 2;
	/* As many blocks as a call has bits, and more where large ones fail. */
	if (target / pages < calls)
		calls = target / pages;
	return calls * __builtin_popcountl(pages) * 5 / 4 + 1000;
}

static void wait_for_signal(void)
{
	sigset_t signals;
	int got;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	printf("ready\n");
	fflush(stdout);
	sigwait(&signals, &got);
}

static void print_calls(void)
{
	unsigned int n, is_inside = 0;

	for (n = 0; n < nr_blocks; n++) {
		if (!is_inside)
			printf("call");
		is_inside = blocks[n] != 0;
		if (is_inside)
			printf(" %" PRIx64 ":%d", blocks[n] >> ORDER_BITS,
			       (int)(blocks[n] & ((1 << ORDER_BITS) - 1)));
		else
			printf("\n");
	}
}

static int deposit(unsigned long pages, unsigned long calls, unsigned long percent,
		   unsigned long nodes)
{
	struct rlimit limit = { 2 * MAX_SOCKETS, 2 * MAX_SOCKETS };
	unsigned long free_pages, done = 0, target, whole, n;
	const char *end = "calls";

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || setrlimit(RLIMIT_NOFILE, &limit))
		return failed("pagemap or the limit of files");
	memset(blocks, 1, sizeof(blocks));
	memset(texts, 0, sizeof(texts));
	memset(runs, 0, sizeof(runs));
	if (!strcmp(way, "areas") && pages_of("CmaTotal:") < most_arenas << arena_order)
		return failed("areas set aside at boot");
	if (open_sockets(rings_for(pages, calls, pages_of("MemFree:") / 100 * percent)))
		return failed("sockets");
	wait_for_signal();
	look();
	look_at_runs();
	free_pages = pages_of("MemFree:");
	target = free_pages / 100 * percent;
	for (n = 0; n < calls; n++) {
		if (done + pages > target) {
			end = "share";
			break;
		}
		if (nodes > 1 && ask_node(n % nodes))
			return failed("set_mempolicy");
		whole = nr_blocks;
		if (one_call(pages)) {
			/* As hv_call_deposit_pages() gives back what it could not use. */
			nr_blocks = whole;
			end = nr_sockets && used_rings >= 2 * nr_sockets ? "sockets" : "memory";
			break;
		}
		done += pages;
	}
	if ((!*way || !strcmp(way, "ring")) && find_frames())
		return failed("the frames of a block do not follow each other");
	printf("free %lu left %lu end %s\n", free_pages, pages_of("MemFree:"), end);
	print_calls();
	for (n = 0; n < 3; n++)
		printf("\nfile %s\n%s", files[n], texts[n]);
	printf("\nfile runs\n");
	for (n = 0; n < nr_runs; n++)
		printf("%" PRIx64 ":%u\n", runs[n].pfn, runs[n].blocks);
	return fflush(stdout) ? failed("output") : 0;
}

static struct { unsigned char *at; size_t bytes; } areas[MAX_AREAS];
static unsigned int nr_areas;
static size_t held;

static void drop_any(void)
{
	unsigned int which = draw() % nr_areas;

	munmap(areas[which].at, areas[which].bytes);
	held -= areas[which].bytes;
	areas[which] = areas[--nr_areas];
}

static int add(size_t bytes)
{
	unsigned char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t n;

	if (at == MAP_FAILED)
		return -1;
	/* Guests are backed by huge pages, programs mostly not. */
	madvise(at, bytes, draw() % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (n = 0; n < bytes; n += PAGE_BYTES)
		at[n] = 1;
	areas[nr_areas].at = at;
	areas[nr_areas++].bytes = bytes;
	held += bytes;
	return 0;
}

static int churn(unsigned long mib, unsigned long rounds)
{
	size_t most = mib * MIB;

	while (rounds--) {
		size_t bytes = (1 + draw() % (mib / 16 + 1)) * MIB;

		while (nr_areas && (held + bytes > most || nr_areas == MAX_AREAS))
			drop_any();
		if (add(bytes))
			return failed("mmap");
	}
	while (held > most / 3)
		drop_any();
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	unsigned long numbers[4] = { 0 };
	int n;

	for (n = 2; n < argc && n < 6; n++)
		numbers[n - 2] = strtoul(argv[n], NULL, 10);
	if (argc == 9) {
		way = argv[6];
		arena_order = strtoul(argv[7], NULL, 10);
		most_arenas = strtoul(argv[8], NULL, 10);
	}
	if ((argc == 6 || argc == 9) && !strcmp(argv[1], "deposit") && numbers[0])
		return deposit(numbers[0], numbers[1], numbers[2], numbers[3]);
	if (argc == 4 && !strcmp(argv[1], "churn"))
		return churn(numbers[0], numbers[1]);
	fprintf(stderr, "error usage\n");
	return 2;
}
