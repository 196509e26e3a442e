// Where each buffer lies in the arena.
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "engine/core/rng.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr int64_t kAlignment = kWorkspaceAlignment;
constexpr double kQuiet = 0.3;  // of the peak
constexpr double kHigh = 0.9;   // of the arena, what ends above is at its top
constexpr double kNearlyNeeded = 1.004, kHopeless = 0.99;  // of what is alive at a time
constexpr int kTries = 40, kManyTries = 400;               // of other orders
constexpr int kPatience = 80;                              // tries without success in turn

// Whether forward makes it and backward, or whoever looks at the results, reads it.
bool IsLeft(const Plan& plan, const PlannedBuffer& buffer) {
  return buffer.first < plan.backward_begin && plan.backward_begin <= buffer.last;
}

// Of two buffers that may share memory, one behind the other: from the beginning of the one to that
// of the other, at least, whichever lies above.
struct Partner {
  int buffer;
  int64_t to_above = 0;  // where the partner lies above; 0: its size, as for others
  int64_t to_below = 0;  // where it lies below
};
using Partners = std::vector<std::vector<Partner>>;

Partners PartnersOf(const std::vector<Trail>& trails, size_t buffers) {
  Partners partners(buffers);
  const auto partner = [&](int of, int buffer) -> Partner& {
    for (Partner& known : partners[of]) {
      if (known.buffer == buffer) return known;
    }
    partners[of].push_back({buffer});
    return partners[of].back();
  };
  for (const Trail& trail : trails) {
    const int64_t gap = RoundUp(trail.gap, kAlignment);
    partner(trail.below, trail.above).to_above = gap;
    partner(trail.above, trail.below).to_below = gap;
  }
  return partners;
}

// Places buffers one after another, each at the lowest offset that those before leave free.
class Placement {
 public:
  struct Placed {
    int first, last, buffer;
    int64_t offset, bytes;
    size_t rank;  // in the order in which they were placed
  };

  explicit Placement(const Partners* partners)
      : partners_(partners), is_partner_(partners->size(), false) {}

  void Place(int b, const PlannedBuffer& buffer) {
    const std::vector<Partner>& partners = (*partners_)[b];
    for (const Partner& partner : partners) is_partner_[partner.buffer] = true;
    // Others in the way push it up, and that may be into the way of others.
    int64_t offset = 0, before = -1;
    while (offset != before) {
      before = offset;
      offset = AboveOthers(buffer, offset);
      for (const Partner& partner : partners) offset = AbovePartner(buffer, partner, offset);
    }
    for (const Partner& partner : partners) is_partner_[partner.buffer] = false;
    const auto behind =
        std::upper_bound(placed_.begin(), placed_.end(), offset,
                         [](int64_t value, const Placed& placed) { return value < placed.offset; });
    const size_t rank = placed_.size();
    placed_.insert(behind, {buffer.first, buffer.last, b, offset, buffer.bytes, rank});
  }

  // Forgets all but the first `count`.
  void Keep(size_t count) {
    placed_.erase(std::remove_if(placed_.begin(), placed_.end(),
                                 [&](const Placed& placed) { return placed.rank >= count; }),
                  placed_.end());
  }

  const std::vector<Placed>& placed() const { return placed_; }  // by offset

 private:
  static bool Meet(const PlannedBuffer& a, const Placed& b) {
    return a.first <= b.last && b.first <= a.last;
  }

  int64_t AboveOthers(const PlannedBuffer& buffer, int64_t offset) const {
    for (const Placed& there : placed_) {
      if (!Meet(buffer, there) || is_partner_[there.buffer]) continue;
      if (offset + buffer.bytes <= there.offset) break;
      offset = std::max(offset, there.offset + there.bytes);
    }
    return offset;
  }

  int64_t AbovePartner(const PlannedBuffer& buffer, const Partner& partner, int64_t offset) const {
    const auto there = std::find_if(placed_.begin(), placed_.end(), [&](const Placed& placed) {
      return placed.buffer == partner.buffer;
    });
    if (there == placed_.end() || !Meet(buffer, *there)) return offset;
    const int64_t below = partner.to_above > 0 ? partner.to_above : buffer.bytes;
    const int64_t above = partner.to_below > 0 ? partner.to_below : there->bytes;
    const bool free = offset <= there->offset - below || offset >= there->offset + above;
    return free ? offset : there->offset + above;
  }

  const Partners* partners_;
  std::vector<bool> is_partner_;  // of the one that is being placed
  std::vector<Placed> placed_;
};

// Bytes alive at the step of a buffer's life when the fewest are.
std::vector<int64_t> LeastAliveBeside(const Plan& plan) {
  const std::vector<int64_t> alive = BytesAlive(plan);
  std::vector<int64_t> least;
  for (const PlannedBuffer& buffer : plan.buffers) {
    least.push_back(
        *std::min_element(alive.begin() + buffer.first, alive.begin() + buffer.last + 1));
  }
  return least;
}

// The same order, but with buffers that may share memory, one behind the other, right after each
// other.
std::vector<int> Chained(const std::vector<int>& order, const std::vector<Trail>& trails) {
  std::map<int, std::vector<int>> partners;
  for (const Trail& trail : trails) {
    partners[trail.read].push_back(trail.written);
    partners[trail.written].push_back(trail.read);
  }
  std::vector<bool> taken(order.size(), false);
  std::vector<int> chained;
  for (int first : order) {
    std::vector<int> next = {first};
    while (!next.empty()) {
      const int b = next.back();
      next.pop_back();
      if (taken[b]) continue;
      taken[b] = true;
      chained.push_back(b);
      next.insert(next.end(), partners[b].begin(), partners[b].end());
    }
  }
  return chained;
}

// In which to place buffers. Where the pool shares the arena, what forward leaves to backward comes
// first, at the bottom, so that the upper end is free for the pool; and of that more is free at the
// right time when what lives in quiet times lies below what lives at the peak only. No order is
// best for all networks.
std::vector<std::vector<int>> Orders(const Plan& plan, bool shares) {
  std::vector<int> order(plan.buffers.size());
  std::iota(order.begin(), order.end(), 0);
  const auto bytes = [&](int b) { return plan.buffers[b].bytes; };
  const auto area = [&](int b) {
    return plan.buffers[b].bytes * (plan.buffers[b].last - plan.buffers[b].first + 1);
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return bytes(a) > bytes(b); });
  if (!shares) return {order};
  const auto rest = std::stable_partition(order.begin(), order.end(),
                                          [&](int b) { return IsLeft(plan, plan.buffers[b]); });
  std::stable_sort(order.begin(), rest,
                   [&](int a, int b) { return plan.buffers[a].first < plan.buffers[b].first; });
  std::vector<std::vector<int>> orders = {order};
  const auto add = [&](const auto& before) {
    std::stable_sort(rest, order.end(), before);
    orders.push_back(order);
  };
  const std::vector<int64_t> least = LeastAliveBeside(plan);
  const int64_t most = least.empty() ? 0 : *std::max_element(least.begin(), least.end());
  const auto quiet = [&](int b) { return least[b] < kQuiet * static_cast<double>(most); };
  add([&](int a, int b) { return quiet(a) > quiet(b); });  // each by size
  add([&](int a, int b) { return area(a) > area(b); });
  add([&](int a, int b) { return quiet(a) > quiet(b); });  // each by area
  add([&](int a, int b) { return least[a] < least[b]; });
  return orders;
}

// The order in which buffers of the same names were placed in another plan; new ones come last.
std::vector<int> OrderLike(const Plan& other, const Plan& plan) {
  std::map<std::string, std::vector<int>> ranks;
  for (const PlannedBuffer& buffer : other.buffers) ranks[buffer.what].push_back(buffer.rank);
  std::vector<int> rank;
  std::map<std::string, size_t> met;
  for (const PlannedBuffer& buffer : plan.buffers) {
    const std::vector<int>& of_name = ranks[buffer.what];
    const size_t i = met[buffer.what]++;
    rank.push_back(i < of_name.size() ? of_name[i] : static_cast<int>(other.buffers.size()));
  }
  std::vector<int> order(plan.buffers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return std::make_pair(rank[a], -plan.buffers[a].bytes) <
           std::make_pair(rank[b], -plan.buffers[b].bytes);
  });
  return order;
}

// The most that is alive at a time in buffers and pool, were each buffer that trails others to
// share with them all that it may: less cannot be held.
int64_t LeastNeeded(const Plan& plan, const std::vector<Trail>& trails) {
  std::vector<int64_t> shared(plan.buffers.size(), 0);
  std::vector<int> until(plan.buffers.size(), -1);
  for (const Trail& trail : trails) {
    const PlannedBuffer &below = plan.buffers[trail.below], &written = plan.buffers[trail.written];
    const int64_t most = std::min(below.bytes - trail.gap, plan.buffers[trail.above].bytes);
    shared[trail.written] = std::min(shared[trail.written] + most, written.bytes);
    until[trail.written] = plan.buffers[trail.read].last;
  }
  std::vector<int64_t> alive = PooledBytes(plan);
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const PlannedBuffer& buffer = plan.buffers[b];
    for (int s = buffer.first; s <= buffer.last; ++s) {
      alive[s] += buffer.bytes - (s <= until[b] ? shared[b] : 0);
    }
  }
  return alive.empty() ? 0 : *std::max_element(alive.begin(), alive.end());
}

// Tries orders and keeps the placement with which arena and slabs take least.
class PlacementSearch {
 public:
  // It ends with a placement that takes no more than `enough`; without one, where hardly less can
  // be had. `substream`: of the numbers that it draws.
  PlacementSearch(Plan* plan, bool shares, std::optional<int64_t> enough, uint64_t substream)
      : plan_(*plan),
        shares_(shares),
        enough_(enough),
        trails_(FindTrails(*plan)),
        partners_(PartnersOf(trails_, plan->buffers.size())),
        placement_(&partners_),
        needed_(static_cast<double>(LeastNeeded(*plan, trails_))),
        random_(0, RngStream::PLAN, substream) {}

  const std::vector<Trail>& trails() const { return trails_; }
  bool done() const {
    if (!enough_) return static_cast<double>(least_) <= kNearlyNeeded * needed_;
    return least_ <= *enough_ || static_cast<double>(*enough_) < kHopeless * needed_;
  }

  void Try(const std::vector<int>& order) { Try(order, 0); }

  // Moves buffers to other places in the best order. Those at the top come earlier, every other
  // time any goes anywhere.
  void Improve(int tries) {
    if (order_.size() < 2) return;
    for (int i = 0, success = 0; i < tries && i < success + kPatience && !done(); ++i) {
      size_t from = 0, to = 0;
      if (i % 2 == 0) {
        const std::vector<size_t> high = HighPlaces();
        from = high[random_.Below(high.size())];
        to = from > 0 ? random_.Below(from) : 0;
      } else {
        from = random_.Below(order_.size());
        to = random_.Below(order_.size());
      }
      if (from == to) continue;
      std::vector<int> order = order_;
      const auto begin = order.begin() + static_cast<int64_t>(std::min(from, to));
      const auto end = order.begin() + static_cast<int64_t>(std::max(from, to)) + 1;
      std::rotate(begin, from < to ? begin + 1 : end - 1, end);
      if (Try(order, std::min(from, to))) success = i;
    }
  }

  // Gives the plan the best placement.
  void Finish() {
    SetOffsets(best_);
    for (size_t i = 0; i < order_.size(); ++i) plan_.buffers[order_[i]].rank = static_cast<int>(i);
    BookTrails(trails_, &plan_);
    if (shares_) ShareArena(&plan_);
  }

 private:
  // The first `same` of the order are as in the best. Whether less is held than with any before.
  bool Try(const std::vector<int>& order, size_t same) {
    placement_ = best_;
    placement_.Keep(same);
    for (size_t i = same; i < order.size(); ++i) {
      placement_.Place(order[i], plan_.buffers[order[i]]);
    }
    SetOffsets(placement_);
    if (plan_.arena_bytes > least_) return false;
    if (shares_) ShareArena(&plan_);
    const int64_t held = plan_.arena_bytes + BytesInMemory(plan_.options, PredictSlabs(plan_));
    if (held > least_) return false;
    const bool better = held < least_;
    least_ = held;
    order_ = order;
    best_ = placement_;
    return better;
  }

  void SetOffsets(const Placement& placement) {
    plan_.arena_bytes = 0;
    for (const Placement::Placed& placed : placement.placed()) {
      plan_.buffers[placed.buffer].offset = placed.offset;
      plan_.arena_bytes = std::max(plan_.arena_bytes, placed.offset + placed.bytes);
    }
  }

  // In the order: buffers that end in the uppermost part of the arena.
  std::vector<size_t> HighPlaces() const {
    int64_t top = 0;
    for (const Placement::Placed& placed : best_.placed()) {
      top = std::max(top, placed.offset + placed.bytes);
    }
    const auto high = static_cast<int64_t>(kHigh * static_cast<double>(top));
    std::vector<size_t> places;
    for (const Placement::Placed& placed : best_.placed()) {
      if (placed.offset + placed.bytes >= high) places.push_back(placed.rank);
    }
    return places;
  }

  Plan& plan_;
  const bool shares_;
  const std::optional<int64_t> enough_;
  const std::vector<Trail> trails_;
  const Partners partners_;
  Placement placement_;
  const double needed_;
  Rng random_;
  int64_t least_ = std::numeric_limits<int64_t>::max();
  Placement best_ = placement_;
  std::vector<int> order_;
};

}  // namespace

std::vector<int64_t> BytesAlive(const Plan& plan) {
  std::vector<int64_t> alive(plan.steps.size(), 0);
  for (const PlannedBuffer& buffer : plan.buffers) {
    for (int s = buffer.first; s <= buffer.last; ++s) {
      alive[s] += buffer.bytes - (s <= buffer.shared_until ? buffer.shared_bytes : 0);
    }
  }
  return alive;
}

void PlaceBuffers(Plan* plan, bool shares, const Plan* like, std::optional<int64_t> enough) {
  for (PlannedBuffer& buffer : plan->buffers) {
    buffer.bytes = RoundUp(buffer.bytes, kAlignment);
  }
  PlacementSearch search(plan, shares, enough, 0);
  if (like != nullptr) search.Try(OrderLike(*like, *plan));
  std::vector<std::vector<int>> orders = Orders(*plan, shares);
  for (size_t i = 0, count = orders.size(); i < count && !search.trails().empty(); ++i) {
    orders.push_back(Chained(orders[i], search.trails()));
  }
  const auto spares_time = [&](int b) { return plan->buffers[b].spares_time; };
  for (size_t i = 0, count = orders.size(); i < count; ++i) {
    std::vector<int> order = orders[i];
    if (std::none_of(order.begin(), order.end(), spares_time)) break;
    std::stable_partition(order.begin(), order.end(), [&](int b) { return !spares_time(b); });
    orders.push_back(std::move(order));
  }
  for (size_t i = 0; i < orders.size() && !search.done(); ++i) search.Try(orders[i]);
  if (shares) search.Improve(kTries);
  search.Finish();
}

void ImprovePlacement(Plan* plan) {
  PlacementSearch search(plan, true, {}, 1);
  search.Try(OrderLike(*plan, *plan));
  search.Improve(kManyTries);
  search.Finish();
}

}  // namespace encke::internal
