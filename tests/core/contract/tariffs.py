"""The test tariffs of the design (T1 .. T12) and small builders; figures were computed by hand."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import yaml

from wattshift.core.contract.meter import MeterInterval, advance_all, opening_period
from wattshift.core.contract.parse import from_spec

T1 = """
role: Complete
currency: CNY
timeZone: Asia/Shanghai
intervalMinutes: 15
calendars:
- name: tou
  bands:
  - {name: Sharp, months: [7, 8], windows: ["14:00-15:00", "20:00-21:00"]}
  - {name: Peak, windows: ["14:00-22:00"]}
  - {name: Valley, windows: ["00:00-06:00", "11:00-13:00"]}
  - {name: Flat}
components:
- {name: purchase, measure: {type: Energy, energy: {basis: Import}}, rate: "0.4200", per: kWh}
- {name: lineLoss, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0180", per: kWh}
- {name: network, measure: {type: Energy, energy: {basis: Import}}, rate: "0.1000", per: kWh}
- {name: systemOperation, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0350", per: kWh}
- {name: funds, measure: {type: Energy, energy: {basis: GrossUse}}, rate: "0.0294", per: kWh}
- {name: maxDemand, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month}}, rate: "40", per: kW-month, rebates: [{factor: "0.90", whenKilowattHoursPerKilovoltAmpereAtLeast: 260, connectedKilovoltAmperes: 16000}]}
- {name: powerFactor, measure: {type: Share, share: {ofComponentNames: [purchase, lineLoss, network, systemOperation, maxDemand], table: CN-standard-0.90, powerFactor: "0.95"}}}
shapes:
- {calendarName: tou, ofComponentNames: [purchase, lineLoss, network], factors: [{bandName: Sharp, factor: "2.16"}, {bandName: Peak, factor: "1.80"}, {bandName: Valley, factor: "0.40"}, {bandName: Flat, factor: "1"}]}
"""

T2 = """
role: Complete
currency: CNY
timeZone: Asia/Shanghai
positions:
- {name: wind, supplyName: wind-a, type: PayAsConsumed, rate: "0.2600", surplus: {use: Export, rate: "0.2000", owner: Generator}}
- {name: grid, type: Residual, rate: "0.3100"}
components:
- {name: lineLoss, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0120", per: kWh}
- {name: systemOperation, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0200", per: kWh}
- {name: funds, measure: {type: Energy, energy: {basis: GrossUse}}, rate: "0.0244", per: kWh}
- {name: capacity, measure: {type: Capacity, capacity: {amount: 25000, unit: kVA}}, rate: "28", per: kVA-month}
- {name: networkFixed, measure: {type: Capacity, capacity: {amount: 25000, unit: kVA, hoursEquivalent: "730", loadFactor: "0.55"}}, rate: "0.0600", per: kWh}
obligations:
- {name: selfUseOfAvailable, period: Year, terms: [{quantity: SelfUse, coefficient: "1"}, {quantity: Available, coefficient: "-0.60"}]}
- {name: selfUseOfLoad, period: Year, terms: [{quantity: SelfUse, coefficient: "1"}, {quantity: GrossUse, coefficient: "-0.30"}]}
- {name: exportOfAvailable, period: Year, terms: [{quantity: Available, coefficient: "0.20"}, {quantity: Export, coefficient: "-1"}]}
- {name: hub80, period: Year, terms: [{quantity: Green, coefficient: "1"}, {quantity: GrossUse, coefficient: "-0.80"}], eligible: [DirectSelfUse, GreenPowerTrade, CancelledCertificate], shortfallRate: "0.0060"}
"""

T4 = """
role: Complete
currency: EUR
timeZone: Europe/Berlin
intervalMinutes: 15
positions: [{name: spot, type: Residual, signalRate: {signalName: dayAhead, adder: "0.0040"}}]
regimes: [{name: use, selectBy: AnnualUseHours, threshold: "2500"}]
components:
- {name: networkPowerShort, regime: {regimeName: use, side: Below}, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Year}}, rate: "20.05", per: kW-year}
- {name: networkEnergyShort, regime: {regimeName: use, side: Below}, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0486", per: kWh}
- {name: networkPowerLong, regime: {regimeName: use, side: AtOrAbove}, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Year}}, rate: "117.98", per: kW-year}
- {name: networkEnergyLong, regime: {regimeName: use, side: AtOrAbove}, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0094", per: kWh}
- {name: concessionLeviesTax, measure: {type: Energy, energy: {basis: Import}}, rate: "0.0511", per: kWh}
"""

T6 = """
role: Complete
currency: USD
timeZone: America/Los_Angeles
intervalMinutes: 15
calendars:
- name: tou
  bands:
  - {name: SummerPeak, months: [6, 7, 8, 9], windows: ["16:00-21:00"]}
  - {name: SummerPartPeak, months: [6, 7, 8, 9], windows: ["14:00-16:00", "21:00-23:00"]}
  - {name: WinterPeak, months: [1, 2, 3, 4, 5, 10, 11, 12], windows: ["16:00-21:00"]}
  - {name: SuperOffPeak, months: [3, 4, 5], windows: ["09:00-14:00"]}
  - {name: OffPeak}
components:
- {name: energy, measure: {type: Energy, energy: {basis: Import}}, calendarName: tou, bandRates: [{bandName: SummerPeak, rate: "0.19"}, {bandName: SummerPartPeak, rate: "0.15"}, {bandName: WinterPeak, rate: "0.16"}, {bandName: SuperOffPeak, rate: "0.08"}, {bandName: OffPeak, rate: "0.12"}], per: kWh}
- {name: anyTime, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month}}, rate: "30", per: kW-month}
- {name: summerPeak, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month, calendarName: tou, bandNames: [SummerPeak]}}, rate: "35", per: kW-month}
- {name: summerPartPeak, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month, calendarName: tou, bandNames: [SummerPartPeak]}}, rate: "8", per: kW-month}
"""

T9 = """
role: Network
currency: USD
timeZone: America/Denver
intervalMinutes: 15
components: [{name: demand, measure: {type: Demand, demand: {unit: kW, averagingMinutes: 15, period: Month, ratchet: {factor: "0.80", months: 11, fromMonths: [6, 7, 8, 9]}}}, rate: "15", per: kW-month}]
"""

T11 = """
role: TenantPassThrough
currency: CNY
timeZone: Asia/Shanghai
intervalMinutes: 15
components:
- {name: committed, measure: {type: Capacity, capacity: {amount: 800, unit: kW}}, rate: "650", per: kW-month}
- {name: peak, measure: {type: Demand, demand: {unit: kW, basis: ItLoad, averagingMinutes: 15, period: Month}}, rate: "0", per: kW-month}
- {name: overage, measure: {type: Overrun, overrun: {ofComponentName: peak, above: 800, chargedFor: WholeMonth}}, rate: "975", per: kW-month}
"""

T12 = """
role: Supply
currency: EUR
timeZone: Europe/Madrid
intervalMinutes: 60
positions:
- {name: ppa, type: FixedVolume, kilowatts: 3000, rate: "0.0620", surplus: {use: Export, signalRate: {signalName: spot, adder: "-0.0010"}, owner: Consumer}}
- {name: residual, type: Residual, signalRate: {signalName: spot, adder: "0.0020"}}
"""


def spec(text, **changes):
    return {**yaml.safe_load(text), **changes}


def contract(text, **changes):
    return from_spec("test", spec(text, **changes))


def epoch(zone, *when):
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp())


def flat_load(zone, start, end, kilowatts, spikes=None, basis="Import", seconds=900):
    """Intervals of a flat load in local time `[start, end)`, with kW in single intervals."""
    spikes = {epoch(zone, *when): value for when, value in (spikes or {}).items()}
    first, last = epoch(zone, *start), epoch(zone, *end)
    for time in range(first, last, seconds):
        power = spikes.get(time, kilowatts)
        watt_hours, rest = divmod(power * 1000 * seconds, 3600)
        assert rest == 0
        yield MeterInterval(start_time=time, seconds=seconds, watt_hours={basis: watt_hours})


def metered(contract, intervals, prices=None):
    """Period after the intervals, begun at the first one."""
    intervals = list(intervals)
    period = opening_period(contract, intervals[0].start_time)
    return advance_all(contract, period, intervals, lambda _: prices or {})
