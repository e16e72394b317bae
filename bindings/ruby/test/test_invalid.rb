# frozen_string_literal: true

require_relative "helper"
require "json"

# The invalid calls that every language answers with the same kind of error and text.
class TestInvalid < Minitest::Test
  include Fixtures

  SHARED = JSON.parse(File.read(File.expand_path("../../glue/tests/invalid.json", __dir__)))

  def test_each_kind_of_error_has_a_class_of_its_name
    SHARED["kinds"].each do |kind, number|
      error = Tendmap.const_get("#{kind.split('_').map(&:capitalize).join}Error").new("x")
      assert_kind_of Tendmap::Error, error
      assert_equal number, error.code
    end
  end

  def test_invalid_calls_give_the_errors_of_every_language
    client.connect
    @reader = reader
    @route = client.locate("test", "users", 1)
    wrong = SHARED["cases"].filter_map do |it|
      next if it.fetch("except", []).include?("ruby")

      if it["call"] == "denied" && Process.uid != 0
        puts "skipped: only root can become another user"
        next
      end
      code, text = answer { make(it["call"], it["with"].map { |given| value(given) }) }
      parts = it.fetch("text", "").split("…", -1).map { |part| Regexp.escape(part) }
      expected = Regexp.new("\\A#{parts.join('.+')}\\z", Regexp::MULTILINE)
      [it["what"], code, text] unless code == SHARED["kinds"][it["kind"]] && expected.match?(text)
    end
    assert_empty wrong
  ensure
    @reader&.close
  end

  private

  def answer
    yield
    [nil, ""]
  rescue Tendmap::Error => e
    [e.code, e.message]
  end

  def value(given)
    case given
    when "$HOSTS" then @cluster.hosts
    when Array then given.map { |item| value(item) }
    when Hash
      case given.first
      in "broken", _ then "\xff"
      in "integer", text then Integer(text)
      in "double", "NaN" then Float::NAN
      in "double", "Infinity" then Float::INFINITY
      in "double", text then Float(text)
      in "bytes", text then [text].pack("H*")
      in "object", _ then Object.new
      else given.transform_values { |item| value(item) }
      end
    else given
    end
  end

  def make(call, given)
    case call
    when "route" then client.route(*given.first(3), **(given.size > 3 ? { policy: given[3] } : {}))
    when "batch" then client.route_batch(*given)
    when "retry" then client.retry(*given)
    when "client"
      settings = given.first.transform_keys(&:to_sym)
      Tendmap::Client.new(settings.delete(:hosts), **@settings, **settings).close
    when "reader" then Tendmap::Reader.new(**{ shm_directory: @directory }, **given.first.transform_keys(&:to_sym)).close
    when "wait" then client.wait_for_change(given[0], timeout: given[1])
    when "racks" then client.preferred_racks = given[0]
    when "interval" then client.tend_interval = given[0]
    when "password" then client.password = given[0]
    when "closed_client" then closed(Tendmap::Client.new(@cluster.hosts, **@settings), given)
    when "closed_reader" then closed(Tendmap::Reader.new(shm_directory: @directory), given)
    when "news_of_closed"
      reader = Tendmap::Reader.new(shm_directory: @directory)
      changes = reader.changes
      reader.close
      changes.take
    when "closed_changes" then client.changes.tap(&:close).take
    when "forked"
      changes = client.changes
      calls = { "changes" => -> { changes.take }, "client" => -> { client.route("test", "users", 1) },
                "reader" => -> { @reader.route("test", "users", 1) } }
      again(in_child { answer(&calls.fetch(given[0])) })
    when "denied"
      again(in_child do
        Process::UID.change_privilege(65534)
        answer { Tendmap::Reader.new(shm_directory: @directory, shm_key: 1) }
      end)
    else flunk "no call #{call}"
    end
  end

  # Raises what a child has raised.
  def again(answer)
    raise Tendmap::Error.send(:of, *answer) if answer[0]
  end

  def closed(handle, calls)
    handle.close
    errors = calls.map do |call|
      assert_raises(Tendmap::ClosedError, call) do
        case call
        when "route", "locate" then handle.public_send(call, "test", "users", 1)
        when "retry" then handle.retry(@route)
        when "batch" then handle.route_batch("test", "users", [1])
        when "wait" then handle.wait_for_change(1)
        when "racks" then handle.preferred_racks = [1]
        when "interval" then handle.tend_interval = 1
        when "password" then handle.password = "x"
        else handle.public_send(call)
        end
      end
    end
    raise errors.last
  end
end
