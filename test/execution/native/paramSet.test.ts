/** 0x59 ParamSet. Spec: docs/spec/transactions.md#0x59-paramset, docs/spec/ledger.md#parameters */
import fc from 'fast-check'
import { type Hex, numberToHex } from 'viem'
import { expect, test } from 'vitest'
import { paramsAt, putGenesisParams } from '../../../execution/ledger/governed.ts'
import { paramsTable } from '../../../execution/ledger/tables.ts'
import { NATIVE_TYPES, nativeTypeOf, OPERATION_TYPES, operationTypeOf } from '../../../execution/native/native.ts'
import { codeBytes32 } from '../../../execution/native/nativeType.ts'
import { paramChangedEvent, paramSet } from '../../../execution/native/paramSet.ts'
import { checkGoverned, GOVERNED } from '../../../genesis/governed.ts'
import { DOOR, GOVERNOR, RESERVED_FIRST, RESERVED_LAST, TREASURY } from '../../../genesis/params.ts'
import { createMemoryLedger, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Scene, testRuleTables } from './ruleTable.ts'
import { BLOCK, contextOf, logOf, mustRun, OWNER, run } from './world.ts'

type Fields = { name: Hex; value: bigint }

function createGoverned(): MemoryLedger {
  const ledger = createMemoryLedger()
  putGenesisParams(ledger, TEST_PARAMS)
  ledger.takeChanges()
  return ledger
}

const named = (name: string, value: bigint): Fields => ({ name: codeBytes32(name), value })
const to = (name: string, value: bigint) => (s: Scene<Fields>) => {
  s.fields = named(name, value)
}

testRuleTables<Fields>(paramSet, [
  {
    name: 'setParam',
    lanes: ['evm'],
    scene: () => ({ ledger: createGoverned(), context: contextOf(GOVERNOR, 0n), fields: named('protocolBps', 600n) }),
    rules: [
      {
        code: 'notGovernor',
        invalid: false,
        ways: {
          'somebody else': (s) => (s.context = { ...s.context, sender: OWNER }),
          'another system account': (s) => (s.context = { ...s.context, sender: TREASURY }),
        },
      },
      {
        code: 'unknownParam',
        invalid: false,
        ways: {
          'no such name': to('nothing', 1n),
          'a parameter that only genesis chooses': to('chainId', 1n),
          'a name with something behind its zeros': (s) => (s.fields = { ...s.fields, name: `${s.fields.name.slice(0, -2)}01` as Hex }),
        },
      },
      {
        code: 'outOfBounds',
        invalid: false,
        ways: {
          'above the most': to('protocolBps', 2_001n),
          'below the least': to('unbondingSec', 0n),
          'more than a step up': to('workerStakeMinWei', 4_001n),
          'more than a step down': to('workerStakeMinWei', 249n),
          'stake that would leave before the dispute window ends': to('unbondingSec', 10_799n),
          'a dispute window longer than stake stays': to('vestingSec', 7_201n),
          'blocks farther apart when busy than when idle': to('minBlockIntervalMs', 2_000n + 1n),
          'a value beyond all': to('l1BaseFeeScalar', 2n ** 256n - 1n),
        },
      },
    ],
  },
])

test('each bound is the last value that is taken, both ways, and a parameter of 0 takes any step', () => {
  for (const { name, least, most, ...rest } of GOVERNED) {
    for (const value of [least, most]) {
      const params = { ...TEST_PARAMS, [name]: typeof TEST_PARAMS[name] === 'bigint' ? value : Number(value) }
      if (checkGoverned(params)) continue // two parameters together
      const ledger = createMemoryLedger()
      putGenesisParams(ledger, params)
      const context = { ...contextOf(GOVERNOR, 0n), params }
      expect(run(paramSet, ledger, context, named(name, value)), name).toMatchObject({ ok: true })
      const beyond = value === most ? most + 1n : least - 1n
      if (beyond >= 0n) expect(run(paramSet, ledger, context, named(name, beyond)), name).toMatchObject({ ok: false, code: 'outOfBounds' })
      if (value !== 0n || !('stepFactor' in rest)) continue
      expect(run(paramSet, ledger, context, named(name, most)), name).toMatchObject({ ok: true })
    }
  }
})

test('a change counts from the next block on, leaves a log, and two changes in one block are measured from the same start', () => {
  const ledger = createGoverned()
  const context = contextOf(GOVERNOR, 0n)
  const logs = mustRun(paramSet, ledger, context, named('workerStakeMinWei', 4_000n))
  const told = { name: codeBytes32('workerStakeMinWei'), before: 1_000n, value: 4_000n, fromBlock: BLOCK + 1n }
  expect(logs).toEqual([logOf(DOOR.params, paramChangedEvent, told)])
  expect(paramsAt(TEST_PARAMS, ledger, BLOCK)).toEqual(TEST_PARAMS)
  expect(run(paramSet, ledger, context, named('workerStakeMinWei', 16_000n))).toMatchObject({ code: 'outOfBounds', most: 4_000n })
  mustRun(paramSet, ledger, context, named('protocolBps', 0n))
  expect(paramsAt(TEST_PARAMS, ledger, BLOCK)).toEqual(TEST_PARAMS)
  const next = paramsAt(TEST_PARAMS, ledger, BLOCK + 1n)
  expect(next).toEqual({ ...TEST_PARAMS, workerStakeMinWei: 4_000n, protocolBps: 0 })
  mustRun(paramSet, ledger, { ...context, params: next, blockNumber: BLOCK + 1n }, named('workerStakeMinWei', 16_000n))
  expect(paramsAt(TEST_PARAMS, ledger, BLOCK + 1n)).toEqual(next)
  expect(paramsAt(TEST_PARAMS, ledger, BLOCK + 2n)).toEqual({ ...next, workerStakeMinWei: 16_000n })
})

test('no row of changes takes the parameters out of their bounds', () =>
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...GOVERNED), fc.bigInt({ min: 0n, max: 4n }), fc.bigInt({ min: 1n, max: 9n }))),
      (votes) => {
        const ledger = createGoverned()
        let blockNumber = BLOCK
        for (const [{ name }, up, down] of votes) {
          const params = paramsAt(TEST_PARAMS, ledger, blockNumber)
          run(paramSet, ledger, { ...contextOf(GOVERNOR, 0n), params, blockNumber }, named(name, (BigInt(params[name]) * up) / down))
          blockNumber += up % 2n
          expect(checkGoverned(paramsAt(TEST_PARAMS, ledger, blockNumber + 1n))).toBeUndefined()
        }
      },
    ),
    { numRuns: 60 },
  ))

test('there is no transaction of the type, only a row of EVM origin', () => {
  expect(OPERATION_TYPES).toEqual([...NATIVE_TYPES, paramSet])
  expect(nativeTypeOf(paramSet.byte)).toBeUndefined()
  expect(operationTypeOf(paramSet.byte)).toBe(paramSet)
})

test('the governor is a reserved account, which is no door', () => {
  const reserved = Array.from({ length: RESERVED_LAST - RESERVED_FIRST + 1 }, (_, i) => numberToHex(RESERVED_FIRST + i, { size: 20 }))
  expect(reserved).toContain(GOVERNOR)
  expect(Object.values<Hex>(DOOR)).not.toContain(GOVERNOR)
  expect(paramsTable.number).toBe(0x0c)
})
