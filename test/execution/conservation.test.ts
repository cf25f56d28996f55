/** What came in is somewhere, after every block. Spec: docs/spec/ledger.md#value */
import { createAccountFromRLP } from '@ethereumjs/util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { getSupply } from '../../execution/ledger/tables.ts'
import { ledgerValueWei } from '../fakes/ledger.ts'
import { arbitraryBlock, type Story, startStory } from '../settlement/story.ts'

function sums({ chain }: Story) {
  const { deposited, evmSupply } = getSupply(chain.executor.state.ledger)
  let evmBalances = 0n
  for (const rlp of chain.store.accounts.values()) evmBalances += createAccountFromRLP(rlp).balance
  return { deposited, evmSupply, evmBalances, everywhere: ledgerValueWei(chain.store.records.values()) }
}

test('ledger + EVM + withdrawn = deposited, and the EVM balances are evmSupply, after every block of any kind', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 8 }), async (moves) => {
      const story = await startStory()
      for (const move of moves) {
        await story.add(move)
        const { deposited, evmSupply, evmBalances, everywhere } = sums(story)
        expect(everywhere).toBe(deposited)
        expect(evmBalances).toBe(evmSupply)
      }
    }),
    { numRuns: 25 },
  ))
