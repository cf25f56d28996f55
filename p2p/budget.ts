/** Token buckets by peer: what one may have or send at once, and by the second. They outlive a peer's connections, so that coming anew is of no use. */

export type BudgetLimits = { readonly perSec: number; readonly burst: number }

export type Budgets = {
  /** Takes so much of what the peer has left, and may go into debt by it. False: it had nothing left, and nothing is taken. */
  spend(peer: string, amount: number): boolean
  /** Takes so much, whatever there is. */
  charge(peer: string, amount: number): void
  /** Milliseconds until the peer has something left. */
  debtMs(peer: string): number
}

/** Peers whose budget is remembered; who spent nothing for longest is forgotten first. */
const PEERS_MAX = 1_024

/** Full buckets for everybody. */
export function createBudgets({ perSec, burst }: BudgetLimits): Budgets {
  const budgets = new Map<string, { left: number; atMs: number }>()

  function budgetOf(peer: string): { left: number; atMs: number } {
    const nowMs = Date.now()
    const budget = budgets.get(peer) ?? { left: burst, atMs: nowMs }
    budget.left = Math.min(burst, budget.left + ((nowMs - budget.atMs) * perSec) / 1_000)
    budget.atMs = nowMs
    budgets.delete(peer)
    budgets.set(peer, budget)
    const oldest = budgets.keys().next().value
    if (budgets.size > PEERS_MAX && oldest !== undefined) budgets.delete(oldest)
    return budget
  }

  return {
    spend(peer, amount) {
      const budget = budgetOf(peer)
      if (budget.left <= 0) return false
      budget.left -= amount
      return true
    },
    charge(peer, amount) {
      budgetOf(peer).left -= amount
    },
    debtMs: (peer) => Math.max(0, (-budgetOf(peer).left * 1_000) / perSec),
  }
}
