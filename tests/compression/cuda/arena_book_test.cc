// Whatever sizes the device finds, the book never lets a value overflow an arena.
#include "compression/cuda/arena_book.h"

#include <map>
#include <vector>

#include "engine/core/rng.h"
#include "gtest/gtest.h"

namespace encke::cuda {
namespace {

TEST(ArenaBook, ValuesCountWithTheirMostUntilTheyAreSettled) {
  ArenaBook book;
  EXPECT_EQ(book.Find(1), -1);
  EXPECT_EQ(book.AddArena(100), 0);
  book.Open(7, book.Find(60), 60);
  EXPECT_EQ(book.Find(60), -1);
  book.Settle(7, 10);
  EXPECT_EQ(book.MostUsed(0), 10u);
  EXPECT_EQ(book.Find(60), 0);
  EXPECT_EQ(book.Find(91), -1);
  EXPECT_EQ(book.AddArena(200), 1);
  EXPECT_EQ(book.Find(91), 1);
}

TEST(ArenaBook, SpaceComesFreeFromTheTop) {
  ArenaBook book;
  book.AddArena(100);
  for (int id = 0; id < 3; ++id) {
    book.Open(id, 0, 20);
    book.Settle(id, (id + 1) * 10);
  }
  EXPECT_FALSE(book.Close(1));
  EXPECT_EQ(book.Oldest(9), 0);
  EXPECT_EQ(book.MostUsed(0), 30u);
  const auto rewind = book.Close(2);
  ASSERT_TRUE(rewind);
  EXPECT_EQ(rewind->id, 1);  // both came free
  EXPECT_EQ(book.MostUsed(0), 10u);
  EXPECT_EQ(book.Close(0)->id, 0);
  EXPECT_TRUE(book.empty());
  EXPECT_EQ(book.Oldest(9), 9);
  EXPECT_EQ(book.TakePeak(), 40u);
  EXPECT_EQ(book.TakePeak(), 0u);
}

// A device that takes as much as it likes up to the most, and tells of it late.
TEST(ArenaBook, NeverOverflowsUnderRandomUse) {
  Rng rng(11, RngStream::TEST);
  struct Stored {
    int id, arena;
    uint64_t begin, end;
  };
  ArenaBook book;
  std::vector<uint64_t> capacity, used;
  std::vector<Stored> open;
  std::map<int, uint64_t> unsettled, begins;
  int next = 0;
  for (int step = 0; step < 4000; ++step) {
    const uint64_t choice = rng.Below(10);
    if (choice < 5) {
      const uint64_t most = 1 + rng.Below(1000), taken = rng.Below(most + 1);
      int arena = book.Find(most);
      if (arena < 0) {
        capacity.push_back(most + rng.Below(5000));
        used.push_back(0);
        arena = book.AddArena(capacity.back());
      }
      book.Open(next, arena, most);
      begins[next] = used[arena];
      used[arena] += taken;
      ASSERT_LE(used[arena], capacity[arena]);
      ASSERT_LE(used[arena], book.MostUsed(arena));
      open.push_back({next, arena, begins[next], used[arena]});
      unsettled[next++] = used[arena];
    } else if (choice < 8 && !unsettled.empty()) {
      book.Settle(unsettled.begin()->first, unsettled.begin()->second);
      unsettled.erase(unsettled.begin());
    } else if (!open.empty()) {
      const size_t which = rng.Below(4) == 0 ? rng.Below(open.size()) : open.size() - 1;
      unsettled.erase(open[which].id);
      const auto rewind = book.Close(open[which].id);
      open.erase(open.begin() + static_cast<int64_t>(which));
      if (rewind) used[rewind->arena] = begins[rewind->id];
    }
    for (const Stored& stored : open) ASSERT_LE(stored.end, used[stored.arena]);
  }
}

}  // namespace
}  // namespace encke::cuda
