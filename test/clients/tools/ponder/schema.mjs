/** One table of all that was heard of, and one of the blocks. */
import { onchainTable } from 'ponder'

export const heard = onchainTable('heard', (t) => ({
  id: t.text().primaryKey(),
  what: t.text().notNull(),
  blockNumber: t.bigint().notNull(),
  hash: t.hex().notNull(),
  facts: t.text().notNull(),
}))

export const blocks = onchainTable('blocks', (t) => ({
  number: t.bigint().primaryKey(),
  hash: t.hex().notNull(),
  timestamp: t.bigint().notNull(),
}))
